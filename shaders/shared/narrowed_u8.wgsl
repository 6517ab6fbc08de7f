// From f32 to bytes. Needs saturated.

fn converted(v: vec4u) -> vec4u {
    return to_bytes(v);
}
