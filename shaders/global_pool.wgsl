// Global pooling, NHWC: y[n, c] = mean or maximum of x[n, iy, ix, c] over the map; NaN wins a maximum.
// A workgroup makes four channels of one image: its lanes share the pixels, then combine in a tree.
// Dispatch: images * channels4 workgroups, channels fastest.
// Pieces from shared/: index, ordered.
// Constants from Rust: WG_SIZE, AVERAGE.

struct Params {
    images: u32,
    pixels: u32, // in_h * in_w
    channels4: u32,
    x_offset: u32, // slices, in vec4s: first channel, and distance from pixel to pixel
    x_stride: u32,
    y_offset: u32,
    y_stride: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(2) var<uniform> params: Params;

var<workgroup> partial: array<vec4u, WG_SIZE>; // ordered keys of maxima, or the bits of sums

@compute @workgroup_size(WG_SIZE)
fn global_pool(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = workgroup_index(workgroup, workgroups);
    let c = index % params.channels4;
    let n = index / params.channels4;
    if n >= params.images {
        return;
    }

    var best = ORDERED_LOWEST;
    var sum = vec4f(0.0);
    for (var p = lane; p < params.pixels; p += WG_SIZE) {
        let v = x[params.x_offset + (n * params.pixels + p) * params.x_stride + c];
        best = max(best, to_ordered(v));
        sum += v;
    }
    partial[lane] = select(best, bitcast<vec4u>(sum), AVERAGE);
    for (var half = WG_SIZE / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if lane < half {
            partial[lane] = combine(partial[lane], partial[lane + half]);
        }
    }
    if lane == 0u {
        let mean = bitcast<vec4f>(partial[0]) / f32(params.pixels);
        y[params.y_offset + n * params.y_stride + c] = select(from_ordered(partial[0]), mean, AVERAGE);
    }
}

fn combine(a: vec4u, b: vec4u) -> vec4u {
    if AVERAGE {
        return bitcast<vec4u>(bitcast<vec4f>(a) + bitcast<vec4f>(b));
    }
    return max(a, b);
}
