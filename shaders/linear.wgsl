// Fully connected layer: y[n, o] = act(bias[o] + Σ x[n, k] * w[o, k]), k over pixels and channels of an NHWC map.
// A workgroup makes four outputs of one image: its lanes share the sum, then add up in a tree.
// Dispatch: images * out_c4 workgroups, outputs fastest.
// Pieces from shared/: index, activation, functions_all, lanes; one of stored_f32, stored_f16, stored_packed;
//   with stored_packed: rounding.
// Constants from Rust: WG_SIZE, ACTIVATION, ALPHA, BETA.

struct Params {
    images: u32,
    in_c4: u32, // vec4s of a pixel, padding included
    in_pixels: u32,
    out_c: u32, // all outputs of this dispatch
    out_c4: u32,
    x_offset: u32, // slices, in vec4s: first channel, and distance from pixel to pixel
    x_stride: u32,
    y_offset: u32,
    y_stride: u32,
}

@group(0) @binding(0) var<storage, read> x: array<Stored>;
@group(0) @binding(1) var<storage, read> weights: array<Stored>; // [o4][k][4 outputs]
@group(0) @binding(2) var<storage, read> bias: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> y: array<Stored>;
@group(0) @binding(4) var<uniform> params: Params;

var<workgroup> partial: array<vec4f, WG_SIZE>;

@compute @workgroup_size(WG_SIZE)
fn linear(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = workgroup_index(workgroup, workgroups);
    let o4 = index % params.out_c4;
    let n = index / params.out_c4;
    if n >= params.images {
        return;
    }
    let k4s = params.in_c4 * params.in_pixels;

    // The map is walked pixel by pixel: whoever passes the last channel of one is back at the first, a pixel on.
    let step = WG_SIZE / params.in_c4 * params.x_stride + WG_SIZE % params.in_c4;
    let first = n * params.in_pixels + lane / params.in_c4;
    var channel = lane % params.in_c4;
    var at = params.x_offset + first * params.x_stride + channel;
    var w = (o4 * k4s + lane) * 4u;
    var sum = vec4f(0.0);
    for (var k4 = lane; k4 < k4s; k4 += WG_SIZE) {
        let a = loaded(x[at]);
        sum = fma(vec4f(a.x), loaded(weights[w]), sum);
        sum = fma(vec4f(a.y), loaded(weights[w + 1u]), sum);
        sum = fma(vec4f(a.z), loaded(weights[w + 2u]), sum);
        sum = fma(vec4f(a.w), loaded(weights[w + 3u]), sum);
        channel += WG_SIZE % params.in_c4;
        let passes = channel >= params.in_c4;
        channel -= select(0u, params.in_c4, passes);
        at += step + select(0u, params.x_stride - params.in_c4, passes);
        w += 4u * WG_SIZE;
    }
    partial[lane] = sum;
    for (var half = WG_SIZE / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if lane < half {
            partial[lane] += partial[lane + half];
        }
    }
    if lane == 0u {
        let v = activate(partial[0] + bias[o4], ACTIVATION, ALPHA, BETA);
        y[params.y_offset + n * params.y_stride + o4] = stored(keep_lanes(v, o4 * 4u, params.out_c));
    }
}
