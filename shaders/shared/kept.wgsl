// Bits stay as they are.

fn converted(v: vec4u) -> vec4u {
    return v;
}
