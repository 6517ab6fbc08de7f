// Floats as integers in the same order, one by one. NaN of either sign is above all, both zeros are equal, and 0 is
// below every key.

fn key_of(v: f32) -> u32 {
    let bits = bitcast<u32>(v);
    let size = bits & 0x7fffffffu;
    let key = select(bits | 0x80000000u, ~bits, bits >= 0x80000000u);
    return select(select(key, 0xffffffffu, size > 0x7f800000u), 0x80000000u, size == 0u);
}

fn of_key(key: u32) -> f32 {
    return bitcast<f32>(select(~key, key & 0x7fffffffu, key >= 0x80000000u));
}
