// Two operands, value by value. Needs values.

@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;

fn load_a(places: Places) -> vec4f {
    let at = four(places.a, params.sizes[0].a_step, places.first);
    return vec4f(a[at.x], a[at.y], a[at.z], a[at.w]);
}

fn load_b(places: Places) -> vec4f {
    let at = four(places.b, params.sizes[0].b_step, places.first);
    return vec4f(b[at.x], b[at.y], b[at.z], b[at.w]);
}
