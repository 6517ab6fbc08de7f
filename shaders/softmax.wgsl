// Softmax: y[r, i] = exp(x[r, i] - max) / Σ exp(x[r, j] - max), over the width of each row; zero from width to padded.
// A workgroup makes one row for each SHARES of its invocations, which share its values. A row is the channels of an
// NHWC pixel, or a row of scores.
// Dispatch: ceil(rows / (WG_SIZE / SHARES)) workgroups.
// Pieces from shared/: index; one of value_f32, value_f16, value_packed; with value_f32: row_by_value;
//   with value_f16: row_by_value; with value_packed: rounding, y_halves.
// Constants from Rust: WG_SIZE, SHARES.

struct Params {
    rows: u32,
    width: u32, // values of a row
    padded: u32, // the same with its padding
    rows_per_image: u32,
    x_offset: u32, // slices, in elements: first value, distance from row to row, from image to image
    x_stride: u32,
    x_image: u32,
    y_offset: u32,
    y_stride: u32,
    y_image: u32,
}

@group(0) @binding(2) var<uniform> params: Params;

var<workgroup> partial: array<f32, WG_SIZE>;

@compute @workgroup_size(WG_SIZE)
fn softmax(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let share = lane % SHARES;
    let index = workgroup_index(workgroup, workgroups) * (WG_SIZE / SHARES) + lane / SHARES;
    let row = min(index, params.rows - 1u);
    let n = row / params.rows_per_image;
    let r = row % params.rows_per_image;
    let x_row = params.x_offset + n * params.x_image + r * params.x_stride;
    let y_row = params.y_offset + n * params.y_image + r * params.y_stride;

    var highest = load_value(x_row);
    for (var i = share; i < params.width; i += SHARES) {
        highest = max(highest, load_value(x_row + i));
    }
    if SHARES > 1u {
        partial[lane] = highest;
        for (var half = SHARES / 2u; half > 0u; half /= 2u) {
            workgroupBarrier();
            if share < half {
                partial[lane] = max(partial[lane], partial[lane + half]);
            }
        }
        workgroupBarrier();
        highest = partial[lane - share];
        workgroupBarrier();
    }
    var sum = 0.0;
    for (var i = share; i < params.width; i += SHARES) {
        sum += power(load_value(x_row + i) - highest);
    }
    if SHARES > 1u {
        partial[lane] = sum;
        for (var half = SHARES / 2u; half > 0u; half /= 2u) {
            workgroupBarrier();
            if share < half {
                partial[lane] += partial[lane + half];
            }
        }
        workgroupBarrier();
        sum = partial[lane - share];
    }
    if index >= params.rows {
        return;
    }
    put_row(x_row, y_row, share, highest, sum);
}

// Some drivers' exp turns NaN into a number, but its bits show it everywhere.
fn power(d: f32) -> f32 {
    return select(exp(d), d, (bitcast<u32>(d) & 0x7fffffffu) > 0x7f800000u);
}
