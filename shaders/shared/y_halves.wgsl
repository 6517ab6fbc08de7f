// Values of 16 bits, stored one by one, for shaders that have no type for that.

@group(0) @binding(1) var<storage, read_write> y: array<atomic<u32>>;

fn store_y(i: u32, half: u32) {
    store_halves(i / 2u, half << (i % 2u * 16u), vec2u(i % 2u) == vec2u(0u, 1u));
}

// One half of a word, or both, or none. Another invocation may write the other half: each changes only its own bits, in
// whatever order.
fn store_halves(at: u32, word: u32, is_written: vec2<bool>) {
    if all(is_written) {
        atomicStore(&y[at], word);
    } else if any(is_written) {
        let mask = select(0xffff0000u, 0xffffu, is_written.x);
        atomicXor(&y[at], (atomicLoad(&y[at]) ^ word) & mask);
    }
}
