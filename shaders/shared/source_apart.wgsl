// Source and target are different buffers.

@group(0) @binding(2) var<storage, read> x: array<vec4f>;

fn load_x(i: u32) -> vec4f {
    return x[i];
}

fn load_four(i: vec4u) -> array<vec4f, 4> {
    return array<vec4f, 4>(load_x(i.x), load_x(i.y), load_x(i.z), load_x(i.w));
}
