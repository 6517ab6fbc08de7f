// What happens to a convolution's sum before it is stored.

fn epilogue(sum: vec4f, pixel: u32, o4: u32) -> vec4f {
    return keep_lanes(activate(params.scale * sum), o4 * 4u, params.out_c);
}
