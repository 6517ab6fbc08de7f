// Where convolutions read: two buffers.

@group(0) @binding(4) var<storage, read> x0: array<Read>;
@group(0) @binding(5) var<storage, read> x1: array<Read>;

fn load_x(slot: u32, i: u32) -> Read {
    if slot == 1u {
        return x1[i];
    }
    return x0[i];
}
