// The first `count` of four values side by side, 16 bits each, beginning anywhere. Another invocation may write the other
// half of a word: each changes only its own bits.

@group(0) @binding(1) var<storage, read_write> y: array<atomic<u32>>;

fn store_y4(i: u32, v: vec4u, count: u32) {
    store_half(i, v.x);
    if count > 1u {
        store_half(i + 1u, v.y);
    }
    if count > 2u {
        store_half(i + 2u, v.z);
    }
    if count > 3u {
        store_half(i + 3u, v.w);
    }
}

fn store_half(i: u32, half: u32) {
    let shift = i % 2u * 16u;
    atomicAnd(&y[i / 2u], 0xffff0000u >> shift);
    atomicOr(&y[i / 2u], half << shift);
}
