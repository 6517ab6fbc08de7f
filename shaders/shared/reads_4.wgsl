// Reads of four channels. Needs the shader's Weights.

alias Read = vec4f;

const READ4: u32 = 1u; // vec4s of a read

fn low(read: Read) -> vec4f {
    return read;
}

fn high(read: Read) -> vec4f {
    return vec4f(0.0);
}

fn weights_at(w: u32) -> Weights {
    return Weights(weights[w], weights[w + LANES], weights[w + 2u * LANES], weights[w + 3u * LANES]);
}
