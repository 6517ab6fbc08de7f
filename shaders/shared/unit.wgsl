// From 0 to 1; NaN is 0. By bits: floats above 0 lie in order as integers.

fn unit(v: vec4f) -> vec4f {
    let bits = bitcast<vec4u>(v);
    let size = bits & vec4u(0x7fffffffu);
    let below_one = bitcast<vec4f>(min(size, vec4u(0x3f800000u)));
    return select(below_one, vec4f(0.0), (bits > vec4u(0x80000000u)) | (size > vec4u(0x7f800000u)));
}
