// A function of each value, NHWC: y[pixel, c] = act(combine(a[pixel, c])). A piece says what `combine` is:
//   combine_affine: scale[c] * a[pixel, c] + shift[c]
//   combine_add:    scale * a[pixel, c] + b[pixel, c]
// One invocation makes four channels of one pixel.
// Dispatch: ceil(len / WG_SIZE) workgroups.
// Pieces from shared/: index, activation, functions_all, lanes; one of combine_affine, combine_add;
//   one of stored_f32, stored_f16, stored_packed; with stored_packed: rounding.
// Constants from Rust: WG_SIZE, ACTIVATION, ALPHA, BETA.

struct Params {
    len: u32, // vec4s to write: pixels * channels4
    channels: u32,
    channels4: u32,
    a_offset: u32, // slices, in vec4s: first channel, and distance from pixel to pixel
    a_stride: u32,
    b_offset: u32, // 0 where there is no second operand
    b_stride: u32,
    y_offset: u32,
    y_stride: u32,
    scale: f32,
}

@group(0) @binding(0) var<storage, read> a: array<Stored>;
@group(0) @binding(3) var<storage, read_write> y: array<Stored>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(WG_SIZE)
fn elementwise(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = workgroup_index(workgroup, workgroups) * WG_SIZE + lane;
    if i >= params.len {
        return;
    }
    let c = i % params.channels4;
    let pixel = i / params.channels4;
    let v = combine(loaded(a[params.a_offset + pixel * params.a_stride + c]), pixel, c);
    let kept = keep_lanes(activate(v, ACTIVATION, ALPHA, BETA), c * 4u, params.channels);
    y[params.y_offset + pixel * params.y_stride + c] = stored(kept);
}
