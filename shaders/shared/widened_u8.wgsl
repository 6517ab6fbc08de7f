// From bytes to f32.

fn converted(v: vec4u) -> vec4u {
    return bitcast<vec4u>(vec4f(v));
}
