// Convolution as an implicit matrix product in workgroup memory, NHWC:
//   y[n,oy,ox,o] = act(scale * (bias[o] + Σ x[n,iy,ix,i] * w[ky,kx,i,o]) + r)
// A workgroup makes TILE_M pixels times TILE_N output channels, an invocation THREAD_M pixels times four channels;
// the sum runs over taps and, in steps of TILE_K, over input channels.
// Dispatch: ceil(out_c / TILE_N) * ceil(pixels / TILE_M), pixels fastest.

struct Params {
    pixels: u32, // n * out_h * out_w
    in_h: u32,
    in_w: u32,
    out_h: u32,
    out_w: u32,
    in_c4: u32, // vec4s of input channels, padding included
    out_c: u32,
    x_offset: u32, // slices, in vec4s: first channel, and distance from pixel to pixel
    x_stride: u32,
    y_offset: u32,
    y_stride: u32,
    r_offset: u32,
    r_stride: u32,
    scale: f32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> weights: array<vec4f>; // [block][ky][kx][in chunk][TILE_K][TILE_N4]
@group(0) @binding(2) var<storage, read> bias: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(4) var<uniform> params: Params;

const TILE_N4: u32 = TILE_N / 4u;
const TILE_K4: u32 = TILE_K / 4u;
const WG_SIZE: u32 = TILE_M / THREAD_M * TILE_N4;
const LOADS_X: u32 = TILE_M * TILE_K4 / WG_SIZE;
const LOADS_W: u32 = TILE_K * TILE_N4 / WG_SIZE;

var<workgroup> tile_x: array<vec4f, TILE_M * TILE_K4>; // [pixel][k4]
var<workgroup> tile_w: array<vec4f, TILE_K * TILE_N4>; // [k][n4]

// Where the windows begin whose pixels this invocation loads: first row of the image, y0, x0.
var<private> origin: array<vec3i, LOADS_X>;
var<private> sum: array<vec4f, THREAD_M>;

@compute @workgroup_size(WG_SIZE)
fn conv(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let tiles = (params.pixels + TILE_M - 1u) / TILE_M;
    let index = workgroup_index(workgroup, groups);
    let block = index / tiles;
    if block * TILE_N >= params.out_c {
        return;
    }
    let first = index % tiles * TILE_M;
    let n4 = lane % TILE_N4;
    let m0 = lane / TILE_N4 * THREAD_M;
    let o4 = block * TILE_N4 + n4;

    locate(first, lane);
    for (var r = 0u; r < THREAD_M; r++) {
        sum[r] = bias[o4];
    }
    let chunks = (params.in_c4 + TILE_K4 - 1u) / TILE_K4;
    var w = block * KERNEL_H * KERNEL_W * chunks * TILE_K * TILE_N4;
    for (var ky = 0u; ky < KERNEL_H; ky++) {
        for (var kx = 0u; kx < KERNEL_W; kx++) {
            for (var c4 = 0u; c4 < params.in_c4; c4 += TILE_K4) {
                load_x(ky, kx, c4, lane);
                load_w(w, lane);
                w += TILE_K * TILE_N4;
                workgroupBarrier();
                multiply(m0, n4);
                workgroupBarrier();
            }
        }
    }
    if o4 * 4u >= params.out_c {
        return;
    }
    for (var r = 0u; r < THREAD_M; r++) {
        let pixel = first + m0 + r;
        if pixel < params.pixels {
            y[params.y_offset + pixel * params.y_stride + o4] = epilogue(sum[r], pixel, o4);
        }
    }
}

// Divisions once, before the loop over taps. Pixels beyond the last repeat it.
fn locate(first: u32, lane: u32) {
    for (var l = 0u; l < LOADS_X; l++) {
        let pixel = min(first + (lane + l * WG_SIZE) / TILE_K4, params.pixels - 1u);
        let ox = pixel % params.out_w;
        let oy = pixel / params.out_w % params.out_h;
        let image = pixel / (params.out_w * params.out_h) * params.in_h;
        origin[l] = vec3i(i32(image), i32(oy * STRIDE_H) - i32(PAD_TOP), i32(ox * STRIDE_W) - i32(PAD_LEFT));
    }
}

fn load_x(ky: u32, kx: u32, c4: u32, lane: u32) {
    for (var l = 0u; l < LOADS_X; l++) {
        let slot = lane + l * WG_SIZE;
        let k4 = c4 + slot % TILE_K4;
        let iy = origin[l].y + i32(ky * DILATION_H);
        let ix = origin[l].z + i32(kx * DILATION_W);
        var value = vec4f(0.0);
        if k4 < params.in_c4 && iy >= 0 && iy < i32(params.in_h) && ix >= 0 && ix < i32(params.in_w) {
            let pixel = u32(origin[l].x + iy) * params.in_w + u32(ix);
            value = x[params.x_offset + pixel * params.x_stride + k4];
        }
        tile_x[slot] = value;
    }
}

fn load_w(w: u32, lane: u32) {
    for (var l = 0u; l < LOADS_W; l++) {
        tile_w[lane + l * WG_SIZE] = weights[w + lane + l * WG_SIZE];
    }
}

fn multiply(m0: u32, n4: u32) {
    for (var k4 = 0u; k4 < TILE_K4; k4++) {
        let w0 = tile_w[k4 * 4u * TILE_N4 + n4];
        let w1 = tile_w[(k4 * 4u + 1u) * TILE_N4 + n4];
        let w2 = tile_w[(k4 * 4u + 2u) * TILE_N4 + n4];
        let w3 = tile_w[(k4 * 4u + 3u) * TILE_N4 + n4];
        for (var r = 0u; r < THREAD_M; r++) {
            let a = tile_x[(m0 + r) * TILE_K4 + k4];
            sum[r] = fma(vec4f(a.w), w3, fma(vec4f(a.z), w2, fma(vec4f(a.y), w1, fma(vec4f(a.x), w0, sum[r]))));
        }
    }
}
