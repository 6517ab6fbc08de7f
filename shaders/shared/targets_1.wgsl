// Where convolutions write: one buffer.

@group(0) @binding(7) var<storage, read_write> y0: array<Made>;

fn store_y(slot: u32, i: u32, v: vec4f) {
    y0[i] = made(v);
}
