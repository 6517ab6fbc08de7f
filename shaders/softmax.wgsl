// Softmax: y[r, i] = exp(x[r, i] - max) / Σ exp(x[r, j] - max), over the width of each row; zero from width to padded.
// One invocation makes one row. A row is the channels of an NHWC pixel, or a row of scores.
// Dispatch: ceil(rows / WG_SIZE) workgroups.
// Pieces from shared/: index.
// Constants from Rust: WG_SIZE.

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

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(WG_SIZE)
fn softmax(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = workgroup_index(workgroup, workgroups) * WG_SIZE + lane;
    if row >= params.rows {
        return;
    }
    let n = row / params.rows_per_image;
    let r = row % params.rows_per_image;
    let x_row = params.x_offset + n * params.x_image + r * params.x_stride;
    let y_row = params.y_offset + n * params.y_image + r * params.y_stride;

    var highest = x[x_row];
    for (var i = 1u; i < params.width; i++) {
        highest = max(highest, x[x_row + i]);
    }
    var sum = 0.0;
    for (var i = 0u; i < params.width; i++) {
        // Some drivers' exp turns NaN into a number, but its bits show it everywhere.
        let d = x[x_row + i] - highest;
        let e = select(exp(d), d, (bitcast<u32>(d) & 0x7fffffffu) > 0x7f800000u);
        y[y_row + i] = e;
        sum += e;
    }
    for (var i = 0u; i < params.width; i++) {
        y[y_row + i] /= sum;
    }
    for (var i = params.width; i < params.padded; i++) {
        y[y_row + i] = 0.0;
    }
}
