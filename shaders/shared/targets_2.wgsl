// Where convolutions write: two buffers.

@group(0) @binding(7) var<storage, read_write> y0: array<Made>;
@group(0) @binding(8) var<storage, read_write> y1: array<Made>;

fn store_y(slot: u32, i: u32, v: vec4f) {
    if slot == 1u {
        y1[i] = made(v);
        return;
    }
    y0[i] = made(v);
}
