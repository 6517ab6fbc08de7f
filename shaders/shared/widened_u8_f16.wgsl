// From bytes to f16, in the lower halves of words. Needs rounding.

fn converted(v: vec4u) -> vec4u {
    return to_halves(bitcast<vec4u>(vec4f(v)));
}
