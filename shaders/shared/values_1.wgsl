// One operand, value by value. Needs values.

@group(0) @binding(0) var<storage, read> a: array<f32>;

fn load_a(places: Places) -> vec4f {
    let at = four(places.a, params.sizes[0].a_step, places.first);
    return vec4f(a[at.x], a[at.y], a[at.z], a[at.w]);
}
