// A convolution's last step, where its products were made tap by tap, NHWC:
//   y[n,oy,ox,o] = act(bias[o] + Σ z[n, oy + dy_t, ox + dx_t, t, o]) over the taps t that lie inside the image.
// One invocation makes four channels of one pixel.
// Dispatch: ceil(len / WG_SIZE) workgroups.
// Pieces from shared/: index, activation, functions_all, lanes; one of made_stored, made_sums; one of stored_f32,
//   stored_f16, stored_packed; with stored_packed: rounding.
// Constants from Rust: WG_SIZE, ACTIVATION, ALPHA, BETA.

struct Params {
    len: u32, // vec4s to write: n * out_h * out_w * channels4
    channels: u32,
    channels4: u32,
    taps: u32, // the table has a multiple of four: those behind the last lie outside any image
    in_h: u32,
    in_w: u32,
    out_h: u32,
    out_w: u32,
    y_offset: u32, // a slice, in vec4s: first channel, and distance from pixel to pixel
    y_stride: u32,
}

@group(0) @binding(0) var<storage, read> z: array<Stored>;
@group(0) @binding(1) var<storage, read> shifts: array<vec4i>; // dy, dx, vec4s from channels of a pixel, unused
@group(0) @binding(2) var<storage, read> bias: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> y: array<Made>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(WG_SIZE)
fn conv_shift_add(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = workgroup_index(workgroup, workgroups) * WG_SIZE + lane;
    if index >= params.len {
        return;
    }
    let c = index % params.channels4;
    let pixel = index / params.channels4;
    let row = pixel / params.out_w;
    let image = row / params.out_h * params.in_h;
    let at = vec2i(i32(row % params.out_h), i32(pixel % params.out_w));
    let here = ((image + u32(at.x)) * params.in_w + u32(at.y)) * params.taps * params.channels4 + c;
    var sum = bias[c];
    for (var t = 0u; t < params.taps; t += 4u) {
        // No load waits for another, or for a branch.
        let z0 = product(at, here, shifts[t]);
        let z1 = product(at, here, shifts[t + 1u]);
        let z2 = product(at, here, shifts[t + 2u]);
        let z3 = product(at, here, shifts[t + 3u]);
        sum = sum + z0 + z1 + z2 + z3;
    }
    let kept = keep_lanes(activate(sum, ACTIVATION, ALPHA, BETA), c * 4u, params.channels);
    y[params.y_offset + pixel * params.y_stride + c] = made(kept);
}

// What a tap contributes: zero if it lies outside the image, where the first value is read.
fn product(at: vec2i, here: u32, shift: vec4i) -> vec4f {
    let tap = at + shift.xy;
    let inside = all((tap >= vec2i(0)) & (tap < vec2i(i32(params.in_h), i32(params.in_w))));
    return select(vec4f(0.0), loaded(z[select(0u, here + u32(shift.z), inside)]), inside);
}
