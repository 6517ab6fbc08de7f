// The bits of f32 to the nearest of 0 to 255, ties to even; NaN to 0. Floats above 0 lie in order as integers.

fn to_bytes(bits: vec4u) -> vec4u {
    let size = bits & vec4u(0x7fffffffu);
    let nearest = vec4u(round(bitcast<vec4f>(min(size, vec4u(0x437f0000u)))));
    return select(nearest, vec4u(0u), (bits > vec4u(0x80000000u)) | (size > vec4u(0x7f800000u)));
}
