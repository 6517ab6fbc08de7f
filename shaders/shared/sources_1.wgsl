// Where convolutions read: one buffer.

@group(0) @binding(4) var<storage, read> x0: array<vec4f>;

fn load_x(slot: u32, i: u32) -> vec4f {
    return x0[i];
}
