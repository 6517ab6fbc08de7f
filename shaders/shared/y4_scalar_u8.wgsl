// The first `count` of four values side by side, 8 bits each, beginning anywhere. Needs y_u8.

@group(0) @binding(1) var<storage, read_write> y: array<atomic<u32>>;

fn store_y4(i: u32, v: vec4u, count: u32) {
    // As the bytes of two words.
    let shift = i % 4u * 8u;
    let word = joined_y(v);
    let is_ours = select((1u << (count * 8u)) - 1u, 0xffffffffu, count > 3u);
    store_bytes(i / 4u, word << shift, is_ours << shift);
    if shift > 0u {
        store_bytes(i / 4u + 1u, word >> (32u - shift), is_ours >> (32u - shift));
    }
}

// Some bytes of a word, or all, or none. Other invocations may write the others: each changes only its own bits, in
// whatever order.
fn store_bytes(at: u32, word: u32, is_written: u32) {
    if is_written == 0xffffffffu {
        atomicStore(&y[at], word);
    } else if is_written != 0u {
        atomicXor(&y[at], (atomicLoad(&y[at]) ^ word) & is_written);
    }
}
