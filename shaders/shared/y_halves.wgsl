// Values of 16 bits, stored one by one, for shaders that have no type for that.

@group(0) @binding(1) var<storage, read_write> y: array<atomic<u32>>;

// Another invocation may write the other half of the word: each changes only its own bits, in whatever order.
fn store_y(i: u32, half: u32) {
    let shift = i % 2u * 16u;
    atomicAnd(&y[i / 2u], 0xffff0000u >> shift);
    atomicOr(&y[i / 2u], half << shift);
}
