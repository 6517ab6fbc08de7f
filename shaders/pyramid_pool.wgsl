// Spatial pyramid pooling: y[n, base + c * step] = max of x[n,iy,ix,c] over a bin, for every bin of every level.
// One invocation makes four channels of one bin. The bins' rows and columns come ready from the planner.
// Dispatch: ceil(len / WG_SIZE) workgroups.
// Pieces from shared/: index, ordered.
// Constants from Rust: WG_SIZE.

struct Params {
    len: u32, // n * bins * channels4
    bins: u32,
    channels: u32,
    channels4: u32,
    in_h: u32,
    in_w: u32,
    x_offset: u32, // slice, in vec4s: first channel, and distance from pixel to pixel
    x_stride: u32,
    y_offset: u32, // slice, in elements: first channel, and distance from vector to vector
    y_stride: u32,
    y_len: u32, // values of a vector
    y_padded: u32, // the same with its padding
}

struct Bin {
    y_begin: u32,
    y_end: u32,
    x_begin: u32,
    x_end: u32,
    base: u32,
    step: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> bins: array<Bin>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>; // the bits of values
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(WG_SIZE)
fn pyramid_pool(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = workgroup_index(workgroup, workgroups) * WG_SIZE + lane;
    if i >= params.len {
        return;
    }
    let c4 = i % params.channels4;
    let b = i / params.channels4 % params.bins;
    let n = i / (params.channels4 * params.bins);
    let bin = bins[b];

    var best = ORDERED_LOWEST;
    for (var iy = bin.y_begin; iy < bin.y_end; iy++) {
        let row = (n * params.in_h + iy) * params.in_w;
        for (var ix = bin.x_begin; ix < bin.x_end; ix++) {
            best = max(best, to_ordered(x[params.x_offset + (row + ix) * params.x_stride + c4]));
        }
    }
    let bits = bitcast<vec4u>(from_ordered(best));
    let vector = params.y_offset + n * params.y_stride;
    for (var l = 0u; l < 4u; l++) {
        let c = c4 * 4u + l;
        if c < params.channels {
            y[vector + bin.base + c * bin.step] = bits[l];
        }
    }
    if b == 0u && c4 == 0u {
        for (var e = params.y_len; e < params.y_padded; e++) {
            y[vector + e] = 0u;
        }
    }
}
