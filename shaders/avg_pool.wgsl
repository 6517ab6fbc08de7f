// Average pooling, NHWC: y[n,oy,ox,c] = mean of x[n,iy,ix,c] over the window. Padding counts as zeros, or not at all.
// One invocation makes four channels of one output pixel.
// Dispatch: ceil(len / WG_SIZE) workgroups.
// Pieces from shared/: index, window, lanes; one of stored_f32, stored_f16, stored_packed;
//   with stored_packed: rounding.
// Constants from Rust: WG_SIZE, DILATION_H, DILATION_W, COUNT_INCLUDE_PAD.

struct Params {
    len: u32, // vec4s to write: n * out_h * out_w * channels4
    channels: u32, // lanes from here on hold padding
    channels4: u32,
    in_h: u32,
    in_w: u32,
    out_h: u32,
    out_w: u32,
    kernel_h: u32,
    kernel_w: u32,
    stride_h: u32,
    stride_w: u32,
    pad_top: u32,
    pad_left: u32,
    pad_bottom: u32,
    pad_right: u32,
    x_offset: u32, // slices, in vec4s: first channel, and distance from pixel to pixel
    x_stride: u32,
    y_offset: u32,
    y_stride: u32,
}

@group(0) @binding(0) var<storage, read> x: array<Stored>;
@group(0) @binding(1) var<storage, read_write> y: array<Stored>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(WG_SIZE)
fn avg_pool(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = workgroup_index(workgroup, workgroups) * WG_SIZE + lane;
    if i >= params.len {
        return;
    }
    let c4 = i % params.channels4;
    let pixel = i / params.channels4;
    let ox = pixel % params.out_w;
    let oy = pixel / params.out_w % params.out_h;
    let n = pixel / (params.out_w * params.out_h);

    // The window's corner may lie in the padding; clip it to the image once.
    let y0 = i32(oy * params.stride_h) - i32(params.pad_top);
    let x0 = i32(ox * params.stride_w) - i32(params.pad_left);
    let ky_begin = first_tap(y0, DILATION_H);
    let kx_begin = first_tap(x0, DILATION_W);
    let ky_end = end_tap(y0, DILATION_H, params.kernel_h, params.in_h);
    let kx_end = end_tap(x0, DILATION_W, params.kernel_w, params.in_w);

    let first_y = n * params.in_h + u32(y0 + i32(ky_begin * DILATION_H));
    let first_x = u32(x0 + i32(kx_begin * DILATION_W));
    var row = params.x_offset + (first_y * params.in_w + first_x) * params.x_stride + c4;
    var sum = vec4f(0.0);
    for (var ky = ky_begin; ky < ky_end; ky++) {
        var tap = row;
        for (var kx = kx_begin; kx < kx_end; kx++) {
            sum += loaded(x[tap]);
            tap += DILATION_W * params.x_stride;
        }
        row += DILATION_H * params.in_w * params.x_stride;
    }
    // A window begins in the padding or behind it, and may end beyond the padding, where nothing counts.
    var rows = max(ky_end, ky_begin) - ky_begin;
    var columns = max(kx_end, kx_begin) - kx_begin;
    if COUNT_INCLUDE_PAD {
        rows = end_tap(y0, DILATION_H, params.kernel_h, params.in_h + params.pad_bottom);
        columns = end_tap(x0, DILATION_W, params.kernel_w, params.in_w + params.pad_right);
    }
    // As integers they might wrap around. Of dilated taps none may count: then the sum is 0, and so is the mean.
    let mean = sum / select(f32(rows) * f32(columns), 1.0, rows == 0u || columns == 0u);
    y[params.y_offset + pixel * params.y_stride + c4] = stored(keep_lanes(mean, c4 * 4u, params.channels));
}
