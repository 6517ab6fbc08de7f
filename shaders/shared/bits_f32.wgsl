// The bits of a value, as they are in memory.

fn bits_at(i: u32) -> u32 {
    return x[i];
}
