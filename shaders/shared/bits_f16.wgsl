// The bits of a value as f32, of 16 bits in memory, two in each word.

fn bits_at(i: u32) -> u32 {
    return bitcast<u32>(unpack2x16float(x[i / 2u] >> (i % 2u * 16u)).x);
}
