// Reads of twice four channels, as 64-bit integers: software adapters read lane by lane and component by component, and
// 64 bits take them no longer than 32. Needs the shader's Weights.

alias Read = vec4<u64>;

const READ4: u32 = 2u; // vec4s of a read

fn low(read: Read) -> vec4f {
    return floats(read.xy);
}

fn high(read: Read) -> vec4f {
    return floats(read.zw);
}

fn floats(pairs: vec2<u64>) -> vec4f {
    let first = bitcast<vec2f>(vec2u(pairs));
    let second = bitcast<vec2f>(vec2u(pairs >> vec2u(32u)));
    return vec4f(first.x, second.x, first.y, second.y);
}

fn weights_at(w: u32) -> Weights {
    let first = weights[w];
    let second = weights[w + LANES];
    return Weights(low(first), high(first), low(second), high(second));
}
