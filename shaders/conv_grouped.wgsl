// Grouped convolution whose groups may cut through a vec4 (depthwise first of all), NHWC:
//   y[n,oy,ox,o] = act(scale * (bias[o] + Σ x[n,iy,ix,group(o) * group_in_c + i] * w[ky,kx,i,o]) + r)
// One invocation makes four output channels of one pixel, each with inputs of its own group.
// Dispatch: ceil(pixels * out_c4 / WG_SIZE) workgroups.

struct Params {
    len: u32, // vec4s to write: pixels * out_c4
    out_c4: u32,
    in_h: u32,
    in_w: u32,
    out_h: u32,
    out_w: u32,
    out_c: u32,
    group_in_c: u32,
    group_out_c: u32,
    x_offset: u32, // slices, in vec4s: first channel, and distance from pixel to pixel
    x_stride: u32,
    y_offset: u32,
    y_stride: u32,
    r_offset: u32,
    r_stride: u32,
    scale: f32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> weights: array<vec4f>; // [ky][kx][channel in group][out_c4]
@group(0) @binding(2) var<storage, read> bias: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(WG_SIZE)
fn conv_grouped(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = workgroup_index(workgroup, groups) * WG_SIZE + lane;
    if index >= params.len {
        return;
    }
    let o4 = index % params.out_c4;
    let pixel = index / params.out_c4;
    let ox = pixel % params.out_w;
    let oy = pixel / params.out_w % params.out_h;
    let n = pixel / (params.out_w * params.out_h);
    let y0 = i32(oy * STRIDE_H) - i32(PAD_TOP);
    let x0 = i32(ox * STRIDE_W) - i32(PAD_LEFT);
    let ky_end = end_tap(y0, DILATION_H, KERNEL_H, params.in_h);
    let kx_end = end_tap(x0, DILATION_W, KERNEL_W, params.in_w);
    // Padding lanes of the last vec4 have zero weights; they read some channel that exists.
    let o = min(vec4u(o4 * 4u) + vec4u(0u, 1u, 2u, 3u), vec4u(params.out_c - 1u));
    let channel = o / params.group_out_c * params.group_in_c;

    var sum = bias[o4];
    for (var ky = first_tap(y0, DILATION_H); ky < ky_end; ky++) {
        let row = (n * params.in_h + u32(y0 + i32(ky * DILATION_H))) * params.in_w;
        for (var kx = first_tap(x0, DILATION_W); kx < kx_end; kx++) {
            let tap = params.x_offset + (row + u32(x0 + i32(kx * DILATION_W))) * params.x_stride;
            let w = (ky * KERNEL_W + kx) * params.group_in_c;
            for (var i = 0u; i < params.group_in_c; i++) {
                sum = fma(gather(tap, channel + vec4u(i)), weights[(w + i) * params.out_c4 + o4], sum);
            }
        }
    }
    y[params.y_offset + pixel * params.y_stride + o4] = epilogue(sum, pixel, o4);
}

fn gather(tap: u32, channel: vec4u) -> vec4f {
    if DEPTHWISE {
        return x[tap + channel.x / 4u];
    }
    return vec4f(
        x[tap + channel.x / 4u][channel.x % 4u],
        x[tap + channel.y / 4u][channel.y % 4u],
        x[tap + channel.z / 4u][channel.z % 4u],
        x[tap + channel.w / 4u][channel.w % 4u],
    );
}
