// Source and target are different buffers.

@group(0) @binding(2) var<storage, read> x: array<vec4f>;

fn load_x(i: u32) -> vec4f {
    return x[i];
}
