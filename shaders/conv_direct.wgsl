// Convolution without workgroup memory, NHWC:
//   y[n,oy,ox,o] = act(scale * (bias[o] + Σ x[n,iy,ix,i] * w[ky,kx,i,o]) + r).
// One invocation makes four output channels of four pixels. The lanes of a workgroup lie along output channels, so
// that they read x at one address, and w side by side.
// Dispatch: blocks of LANES * 4 output channels times ceil(pixels / 4), pixels fastest.

struct Params {
    pixels: u32, // n * out_h * out_w
    in_h: u32,
    in_w: u32,
    out_h: u32,
    out_w: u32,
    in_c4: u32, // vec4s of input channels that one group reads, padding included
    out_c: u32,
    group_c4: u32, // vec4s of output channels in a group
    x_offset: u32, // slices, in vec4s: first channel, and distance from pixel to pixel
    x_stride: u32,
    y_offset: u32,
    y_stride: u32,
    r_offset: u32,
    r_stride: u32,
    scale: f32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> weights: array<vec4f>; // [block][ky][kx][in channel][lane]
@group(0) @binding(2) var<storage, read> bias: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(LANES)
fn conv_direct(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let tiles = (params.pixels + 3u) / 4u;
    let index = workgroup_index(workgroup, groups);
    let block = index / tiles;
    let o4 = block * LANES + lane;
    if o4 * 4u >= params.out_c {
        return;
    }
    // A lane of these vectors is one of the four pixels; the last tile repeats the last pixel.
    let first = index % tiles * 4u;
    let pixel = min(vec4u(first) + vec4u(0u, 1u, 2u, 3u), vec4u(params.pixels - 1u));
    let ox = pixel % params.out_w;
    let oy = pixel / params.out_w % params.out_h;
    let image = pixel / (params.out_w * params.out_h) * params.in_h;
    let x0 = vec4i(ox * STRIDE_W) - vec4i(i32(PAD_LEFT));
    let y0 = vec4i(oy * STRIDE_H) - vec4i(i32(PAD_TOP));
    let channel = params.x_offset + o4 / params.group_c4 * params.in_c4;

    var w = block * KERNEL_H * KERNEL_W * params.in_c4 * 4u * LANES + lane;
    var sum0 = bias[o4];
    var sum1 = sum0;
    var sum2 = sum0;
    var sum3 = sum0;
    for (var ky = 0u; ky < KERNEL_H; ky++) {
        let iy = y0 + vec4i(i32(ky * DILATION_H));
        for (var kx = 0u; kx < KERNEL_W; kx++) {
            let ix = x0 + vec4i(i32(kx * DILATION_W));
            let inside = inside_image(iy, ix, params.in_h, params.in_w);
            let at = ((image + vec4u(iy)) * params.in_w + vec4u(ix)) * params.x_stride + channel;
            let tap = select(vec4u(params.x_offset), at, inside);
            if PADDED && !any(inside) {
                w += params.in_c4 * 4u * LANES;
                continue;
            }
            for (var i4 = 0u; i4 < params.in_c4; i4++) {
                let w0 = weights[w];
                let w1 = weights[w + LANES];
                let w2 = weights[w + 2u * LANES];
                let w3 = weights[w + 3u * LANES];
                w += 4u * LANES;
                sum0 = dot4(load(tap.x + i4, inside.x), w0, w1, w2, w3, sum0);
                sum1 = dot4(load(tap.y + i4, inside.y), w0, w1, w2, w3, sum1);
                sum2 = dot4(load(tap.z + i4, inside.z), w0, w1, w2, w3, sum2);
                sum3 = dot4(load(tap.w + i4, inside.w), w0, w1, w2, w3, sum3);
            }
        }
    }
    store(first, o4, sum0);
    store(first + 1u, o4, sum1);
    store(first + 2u, o4, sum2);
    store(first + 3u, o4, sum3);
}

// Taps in the padding are zero by choice, not by multiplication: the value at the stand-in address may be infinite.
fn load(i: u32, inside: bool) -> vec4f {
    if PADDED {
        return select(vec4f(0.0), x[i], inside);
    }
    return x[i];
}

fn dot4(a: vec4f, w0: vec4f, w1: vec4f, w2: vec4f, w3: vec4f, sum: vec4f) -> vec4f {
    return fma(vec4f(a.w), w3, fma(vec4f(a.z), w2, fma(vec4f(a.y), w1, fma(vec4f(a.x), w0, sum))));
}

fn store(pixel: u32, o4: u32, sum: vec4f) {
    if pixel < params.pixels {
        y[params.y_offset + pixel * params.y_stride + o4] = epilogue(sum, pixel, o4);
    }
}
