// BN-fused activation, NHWC: y[pixel, c] = act(scale[c] * x[pixel, c] + shift[c]).
// One invocation makes four channels of one pixel.
// Dispatch: ceil(len / WG_SIZE) workgroups.

struct Params {
    len: u32, // vec4s to write: pixels * channels4
    channels: u32,
    channels4: u32,
    x_offset: u32, // slices, in vec4s: first channel, and distance from pixel to pixel
    x_stride: u32,
    y_offset: u32,
    y_stride: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> scale: array<vec4f>;
@group(0) @binding(2) var<storage, read> shift: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(WG_SIZE)
fn affine_activation(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = workgroup_index(workgroup, groups) * WG_SIZE + lane;
    if i >= params.len {
        return;
    }
    let c = i % params.channels4;
    let pixel = i / params.channels4;
    let v = fma(scale[c], x[params.x_offset + pixel * params.x_stride + c], shift[c]);
    let kept = keep_lanes(activate(v, ACTIVATION, SLOPE), c * 4u, params.channels);
    y[params.y_offset + pixel * params.y_stride + c] = kept;
}
