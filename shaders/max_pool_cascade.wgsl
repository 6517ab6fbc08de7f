// Chained stride-1 max pools, NHWC: y[i] = the maximum of x over a square of radius (i + 1) * (KERNEL / 2), i < TIMES.
// One invocation makes four channels of RUN pixels of one row, all TIMES results; columns are shared along the run.
// Dispatch: ceil(len / WG_SIZE) workgroups.

struct Params {
    len: u32, // invocations: n * height * ceil(width / RUN) * channels4
    channels4: u32,
    height: u32,
    width: u32,
    x_offset: u32, // slices, in vec4s: first channel, and distance from pixel to pixel
    x_stride: u32,
    y_offset: u32, // results lie side by side, channels4 apart
    y_stride: u32,
}

@group(0) @binding(0) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(1) var<uniform> params: Params;

const RADIUS: i32 = i32(KERNEL / 2u);
const REACH: i32 = RADIUS * i32(TIMES);

@compute @workgroup_size(WG_SIZE)
fn max_pool_cascade(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = workgroup_index(workgroup, groups) * WG_SIZE + lane;
    if index >= params.len {
        return;
    }
    let runs = (params.width + RUN - 1u) / RUN;
    let c = index % params.channels4;
    let run = index / params.channels4;
    let ox = i32(run % runs * RUN);
    let oy = i32(run / runs % params.height);
    let image = run / (runs * params.height) * params.height;
    let top = max(oy - REACH, 0);
    let bottom = min(oy + REACH, i32(params.height) - 1);
    let right = min(ox + i32(RUN) - 1 + REACH, i32(params.width) - 1);

    var best: array<array<vec4u, TIMES>, RUN>;
    for (var r = 0u; r < RUN; r++) {
        for (var t = 0u; t < TIMES; t++) {
            best[r][t] = ORDERED_LOWEST;
        }
    }
    for (var ix = max(ox - REACH, 0); ix <= right; ix++) {
        // The maxima of this column over each result's rows, then of each pixel of the run that sees the column.
        var column: array<vec4u, TIMES>;
        for (var t = 0u; t < TIMES; t++) {
            column[t] = ORDERED_LOWEST;
        }
        for (var iy = top; iy <= bottom; iy++) {
            let pixel = (image + u32(iy)) * params.width + u32(ix);
            let key = to_ordered(load_x(params.x_offset + pixel * params.x_stride + c));
            let nearest = first_result(abs(iy - oy));
            column[nearest] = max(column[nearest], key);
        }
        for (var t = 1u; t < TIMES; t++) {
            column[t] = max(column[t], column[t - 1u]);
        }
        let seen_from = u32(max(ix - ox - REACH, 0));
        let seen_to = u32(min(ix - ox + REACH, i32(RUN) - 1));
        for (var r = seen_from; r <= seen_to; r++) {
            for (var t = first_result(abs(ix - ox - i32(r))); t < TIMES; t++) {
                best[r][t] = max(best[r][t], column[t]);
            }
        }
    }
    for (var r = 0u; r < RUN; r++) {
        let x = u32(ox) + r;
        if x < params.width {
            let at = params.y_offset + ((image + u32(oy)) * params.width + x) * params.y_stride + c;
            for (var t = 0u; t < TIMES; t++) {
                y[at + t * params.channels4] = from_ordered(best[r][t]);
            }
        }
    }
}

// The first result whose square reaches this far; TIMES where none does.
fn first_result(distance: i32) -> u32 {
    return u32(max(distance - 1, 0) / RADIUS);
}
