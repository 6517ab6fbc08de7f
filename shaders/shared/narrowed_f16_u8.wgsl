// From f16, in the lower halves of words, to bytes. Needs saturated.

fn converted(v: vec4u) -> vec4u {
    let pairs = v.xz | (v.yw << vec2u(16u));
    return to_bytes(bitcast<vec4u>(vec4f(unpack2x16float(pairs.x), unpack2x16float(pairs.y))));
}
