// Softmax: y[r, i] = exp(x[r, i] - max) / Σ exp(x[r, j] - max), over the width of each row; zero from width to padded.
// If LOG, its logarithm. A workgroup makes one row for each SHARES of its invocations, NEXT apart, which share its
// values. A row is the channels of an NHWC pixel, a row of scores, or values at a step from each other, and the rows
// between them begin side by side.
// Dispatch: ceil(rows / (WG_SIZE / SHARES)) workgroups.
// Pieces from shared/: index; one of value_f32, value_f16, value_packed; with value_f32: row_by_value;
//   with value_f16: row_by_value; with value_packed: rounding, y_halves.
// Constants from Rust: WG_SIZE, SHARES, NEXT, SPLIT, LOG.

struct Params {
    rows: u32,
    width: u32, // values of a row
    padded: u32, // the same with its padding
    step: u32, // from value to value
    rows_per_image: u32,
    x_offset: u32, // slices, in elements: first value, distance from row to row (of `step` rows), from image to image
    x_stride: u32,
    x_image: u32,
    y_offset: u32,
    y_stride: u32,
    y_image: u32,
    y_image_len: u32, // if SPLIT, as rows reach from image to image
}

@group(0) @binding(2) var<uniform> params: Params;

var<workgroup> partial: array<f32, WG_SIZE>;

@compute @workgroup_size(WG_SIZE)
fn softmax(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    const MADE = WG_SIZE / SHARES; // rows
    let share = lane / NEXT % SHARES;
    let index = workgroup_index(workgroup, workgroups) * MADE + select(lane % MADE, lane / SHARES, NEXT == 1u);
    let row = min(index, params.rows - 1u);
    let n = row / params.rows_per_image;
    let r = row % params.rows_per_image;
    let begin = vec2u(r / params.step) * vec2u(params.x_stride, params.y_stride) + r % params.step;
    let x_row = params.x_offset + n * params.x_image + begin.x;
    let y_row = select(params.y_offset + n * params.y_image, 0u, SPLIT) + begin.y;

    var highest = load_value(x_row);
    for (var i = share; i < params.width; i += SHARES) {
        highest = max(highest, load_value(x_row + i * params.step));
    }
    if SHARES > 1u {
        partial[lane] = highest;
        for (var half = SHARES / 2u; half > 0u; half /= 2u) {
            workgroupBarrier();
            if share < half {
                partial[lane] = max(partial[lane], partial[lane + half * NEXT]);
            }
        }
        workgroupBarrier();
        highest = partial[lane - share * NEXT];
        workgroupBarrier();
    }
    var sum = 0.0;
    for (var i = share; i < params.width; i += SHARES) {
        sum += power(load_value(x_row + i * params.step) - highest);
    }
    if SHARES > 1u {
        partial[lane] = sum;
        for (var half = SHARES / 2u; half > 0u; half /= 2u) {
            workgroupBarrier();
            if share < half {
                partial[lane] += partial[lane + half * NEXT];
            }
        }
        workgroupBarrier();
        sum = partial[lane - share * NEXT];
    }
    if index >= params.rows {
        return;
    }
    if LOG {
        sum = select(log(sum), sum, is_nan(sum));
    }
    put_row(x_row, y_row, share, highest, sum);
}

// Of a row's value, its highest, and their sum or its logarithm.
fn made(v: f32, highest: f32, sum: f32) -> f32 {
    if LOG {
        return v - highest - sum;
    }
    return power(v - highest) / sum;
}

fn is_nan(v: f32) -> bool {
    return (bitcast<u32>(v) & 0x7fffffffu) > 0x7f800000u;
}

// Where a row's value lies.
fn place(y_row: u32, i: u32) -> u32 {
    let at = y_row + i * params.step;
    if SPLIT {
        return params.y_offset + at / params.y_image_len * params.y_image + at % params.y_image_len;
    }
    return at;
}

// Some drivers' exp and logarithm turn NaN into a number, but its bits show it everywhere.
fn power(d: f32) -> f32 {
    return select(exp(d), d, is_nan(d));
}
