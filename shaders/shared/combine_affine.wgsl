// A value with the scale and shift of its channel.

@group(0) @binding(1) var<storage, read> scale: array<vec4f>;
@group(0) @binding(2) var<storage, read> shift: array<vec4f>;

fn combine(v: vec4f, pixel: u32, c: u32) -> vec4f {
    return fma(scale[c], v, shift[c]);
}
