// Where convolutions read: one buffer.

@group(0) @binding(4) var<storage, read> x0: array<Read>;

fn load_x(slot: u32, i: u32) -> Read {
    return x0[i];
}
