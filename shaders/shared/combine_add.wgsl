// A value times params.scale, plus a second operand's.

@group(0) @binding(1) var<storage, read> b: array<Stored>;

fn combine(v: vec4f, pixel: u32, c: u32) -> vec4f {
    return fma(vec4f(params.scale), v, loaded(b[params.b_offset + pixel * params.b_stride + c]));
}
