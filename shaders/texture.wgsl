// What a network sees of a picture: y[n,oy,ox,c] = colors[c] * scale[c] + shift[c] where the picture lies, at rows
// `top` to `top + h` and columns `left` to `left + w`, and fill * scale[c] + shift[c] around it.
// One invocation makes one output pixel: three channels, and the zero that fills up the vec4.
// Dispatch: ceil(len / WG_SIZE) workgroups.
// Pieces from shared/: index; between; one of texel, texel_srgb; one of colors_rgb, colors_nv12; with colors_nv12:
//   unit; one of stored_f32, stored_f16, stored_packed; with stored_packed: rounding.
// Constants from Rust: WG_SIZE, BGR; with colors_nv12: LUMA_ZERO, LUMA, RED_OF_V, GREEN_OF_U, GREEN_OF_V, BLUE_OF_U.

struct Params {
    len: u32, // pixels to write: n * out_h * out_w
    seen_top: u32, // the part of the picture that is seen
    seen_left: u32,
    seen_h: u32,
    seen_w: u32,
    top: u32, // where it lies in the output
    left: u32,
    h: u32,
    w: u32,
    out_h: u32,
    out_w: u32,
    y_offset: u32, // in vec4s: first channel, and distance from pixel to pixel
    y_stride: u32,
    fill: f32,
    scale_0: f32,
    scale_1: f32,
    scale_2: f32,
    shift_0: f32,
    shift_1: f32,
    shift_2: f32,
}

@group(0) @binding(1) var<storage, read_write> y: array<Stored>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(WG_SIZE)
fn texture(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let pixel = workgroup_index(workgroup, workgroups) * WG_SIZE + lane;
    if pixel >= params.len {
        return;
    }
    // Above and to the left, they wrap around.
    let column = pixel % params.out_w - params.left;
    let row = pixel / params.out_w % params.out_h - params.top;
    let n = pixel / (params.out_w * params.out_h);
    var rgb = vec3f(params.fill);
    if row < params.h && column < params.w {
        rgb = colors(n, row, column);
    }
    let ordered = select(rgb, rgb.bgr, BGR);
    let scale = vec3f(params.scale_0, params.scale_1, params.scale_2);
    let shift = vec3f(params.shift_0, params.shift_1, params.shift_2);
    y[params.y_offset + pixel * params.y_stride] = stored(vec4f(ordered * scale + shift, 0.0));
}
