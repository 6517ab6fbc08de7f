// Global pooling, NHWC: y[n, c] = mean or maximum of x[n, iy, ix, c] over the map; NaN wins a maximum.
// A workgroup makes four channels for each SHARES of its invocations: these share the pixels of an image, then combine
// in a tree. Their neighbours make the channels beside, which lie in the same lines of a cache.
// Dispatch: ceil(len / (WG_SIZE / SHARES)) workgroups.
// Pieces from shared/: index; one of reduced_mean, reduced_max; one of reduced_mean, ordered, ordered_f16;
//   one of stored_f32, stored_f16, stored_packed; with stored_packed: rounding.
// Constants from Rust: WG_SIZE, SHARES.

struct Params {
    len: u32, // images * channels4
    pixels: u32, // in_h * in_w
    channels4: u32,
    x_offset: u32, // slices, in vec4s: first channel, and distance from pixel to pixel
    x_stride: u32,
    y_offset: u32,
    y_stride: u32,
}

@group(0) @binding(0) var<storage, read> x: array<Stored>;
@group(0) @binding(1) var<storage, read_write> y: array<Stored>;
@group(0) @binding(2) var<uniform> params: Params;

var<workgroup> partial: array<Reduced, WG_SIZE>;

@compute @workgroup_size(WG_SIZE)
fn global_pool(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    const MADE = WG_SIZE / SHARES; // by a workgroup, side by side
    let i = workgroup_index(workgroup, workgroups) * MADE + lane % MADE;
    let share = lane / MADE;
    let c = i % params.channels4;
    let n = i / params.channels4;
    let pixels = select(0u, params.pixels, i < params.len);

    var result = REDUCED_NONE;
    var at = params.x_offset + (n * params.pixels + share) * params.x_stride + c;
    for (var p = share; p < pixels; p += SHARES) {
        result = reduced(result, to_reduced(x[at]));
        at += SHARES * params.x_stride;
    }
    partial[lane] = result;
    for (var half = SHARES / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if share < half {
            partial[lane] = reduced(partial[lane], partial[lane + half * MADE]);
        }
    }
    if share == 0u && i < params.len {
        y[params.y_offset + n * params.y_stride + c] = from_reduced(partial[lane], params.pixels);
    }
}
