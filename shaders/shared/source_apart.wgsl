// Source and target are different buffers.

@group(0) @binding(2) var<storage, read> x: array<Stored>;

fn load_x(i: u32) -> Stored {
    return x[i];
}
