// As reads_8, of 16-bit floats: four of them in each 64-bit integer.

alias Read = vec2<u64>;

const READ4: u32 = 2u; // vec4s of a read

fn low(read: Read) -> vec4f {
    return floats(read.x);
}

fn high(read: Read) -> vec4f {
    return floats(read.y);
}

fn floats(four: u64) -> vec4f {
    return vec4f(unpack2x16float(u32(four)), unpack2x16float(u32(four >> 32u)));
}

fn weights_at(w: u32) -> Weights {
    let first = weights[w];
    let second = weights[w + LANES];
    return Weights(low(first), high(first), low(second), high(second));
}
