// Reads of four channels. Needs the shader's Weights.

alias Read = Stored;

const READ4: u32 = 1u; // vec4s of a read

fn low(read: Read) -> vec4f {
    return loaded(read);
}

fn high(read: Read) -> vec4f {
    return vec4f(0.0);
}

fn weights_at(w: u32) -> Weights {
    return Weights(
        loaded(weights[w]),
        loaded(weights[w + LANES]),
        loaded(weights[w + 2u * LANES]),
        loaded(weights[w + 3u * LANES]),
    );
}
