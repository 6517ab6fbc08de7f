// Four channels in memory: 16 bits each, two in a word, for shaders that have no type for that. Needs rounding.

alias Stored = vec2u;

fn loaded(v: Stored) -> vec4f {
    return vec4f(unpack2x16float(v.x), unpack2x16float(v.y));
}

fn stored(v: vec4f) -> Stored {
    let halves = to_halves(bitcast<vec4u>(v));
    return halves.xz | (halves.yw << vec2u(16u));
}
