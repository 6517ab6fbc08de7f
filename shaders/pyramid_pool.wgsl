// Spatial pyramid pooling: y[n, base + c * step] = max of x[n,iy,ix,c] over a bin, for every bin of every level.
// A workgroup makes four channels of one bin for each SHARES of its invocations: these share the pixels, then combine
// in a tree. The bins' rows and columns come ready from the planner.
// Dispatch: ceil(len / (WG_SIZE / SHARES)) workgroups.
// Pieces from shared/: index; one of ordered, ordered_f16; with ordered: stored_f32, y_words; with ordered_f16:
//   stored_packed, rounding, y_halves.
// Constants from Rust: WG_SIZE, SHARES.

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

@group(0) @binding(0) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<storage, read> bins: array<Bin>;
@group(0) @binding(3) var<uniform> params: Params;

var<workgroup> partial: array<vec4u, WG_SIZE>; // ordered keys

@compute @workgroup_size(WG_SIZE)
fn pyramid_pool(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    const MADE = WG_SIZE / SHARES; // by a workgroup, side by side
    let i = workgroup_index(workgroup, workgroups) * MADE + lane % MADE;
    let share = lane / MADE;
    let c4 = i % params.channels4;
    let b = i / params.channels4 % params.bins;
    let n = i / (params.channels4 * params.bins);
    let bin = bins[b];

    // The pixels of a bin, which may be empty, are walked row by row: past the end, back to the begin and a row on.
    let columns = max(bin.x_end, bin.x_begin) - bin.x_begin;
    let rows = max(bin.y_end, bin.y_begin) - bin.y_begin;
    let pixels = select(0u, rows * columns, i < params.len);
    let whole = max(columns, 1u);
    let first = (n * params.in_h + bin.y_begin + share / whole) * params.in_w + bin.x_begin + share % whole;
    let step = (SHARES / whole * params.in_w + SHARES % whole) * params.x_stride;
    let row = (params.in_w - whole) * params.x_stride;
    var at = params.x_offset + first * params.x_stride + c4;
    var column = share % whole;
    var best = ORDERED_LOWEST;
    for (var p = share; p < pixels; p += SHARES) {
        best = max(best, to_ordered(x[at]));
        column += SHARES % whole;
        let passes = column >= whole;
        column -= select(0u, whole, passes);
        at += step + select(0u, row, passes);
    }
    if SHARES > 1u {
        partial[lane] = best;
        for (var half = SHARES / 2u; half > 0u; half /= 2u) {
            workgroupBarrier();
            if share < half {
                partial[lane] = max(partial[lane], partial[lane + half * MADE]);
            }
        }
        best = partial[lane];
    }
    if share > 0u || i >= params.len {
        return;
    }
    let bits = bits_of(best);
    let vector = params.y_offset + n * params.y_stride;
    for (var l = 0u; l < 4u; l++) {
        let c = c4 * 4u + l;
        if c < params.channels {
            store_y(vector + bin.base + c * bin.step, bits[l]);
        }
    }
    if b == 0u && c4 == 0u {
        for (var e = params.y_len; e < params.y_padded; e++) {
            store_y(vector + e, 0u);
        }
    }
}
