// What happens to a convolution's sum before it is stored, where a residual is added.

@group(0) @binding(5) var<storage, read> residual: array<vec4f>;

fn epilogue(sum: vec4f, pixel: u32, o4: u32) -> vec4f {
    let added = residual[params.r_offset + pixel * params.r_stride + o4];
    return keep_lanes(activate(fma(vec4f(params.scale), sum, added)), o4 * 4u, params.out_c);
}
