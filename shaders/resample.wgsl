// Resampling, NHWC: y[n,oy,ox,c] = Σ_i Σ_j row[oy][i].weight * column[ox][j].weight * x[n, row[oy][i].at,
// column[ox][j].at, c], and FILL where a row or a column has no taps. The table has the taps of each row, then those of
// each column: where, and the bits of a weight. Of weight 0 are those that make up for fewer, which are not read.
// One invocation makes four channels of one output pixel.
// Dispatch: ceil(len / WG_SIZE) workgroups.
// Pieces from shared/: index, lanes; one of stored_f32, stored_f16, stored_packed; with stored_packed: rounding.
// Constants from Rust: WG_SIZE, ROW_TAPS, COLUMN_TAPS.

struct Params {
    len: u32, // vec4s to write: n * out_h * out_w * channels4
    channels: u32,
    channels4: u32,
    in_h: u32,
    in_w: u32,
    out_h: u32,
    out_w: u32,
    x_offset: u32, // slices, in vec4s: first channel, and distance from pixel to pixel
    x_stride: u32,
    y_offset: u32,
    y_stride: u32,
    fill: f32,
}

@group(0) @binding(0) var<storage, read> x: array<Stored>;
@group(0) @binding(1) var<storage, read_write> y: array<Stored>;
@group(0) @binding(2) var<uniform> params: Params;
@group(0) @binding(3) var<storage, read> taps: array<vec2u>;

const NO_TAP = 0xffffffffu;

@compute @workgroup_size(WG_SIZE)
fn resample(
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
    let oy = pixel / params.out_w % params.out_h;
    let n = pixel / (params.out_w * params.out_h);
    let rows = oy * ROW_TAPS;
    let columns = params.out_h * ROW_TAPS + pixel % params.out_w * COLUMN_TAPS;

    var sum = vec4f(0.0);
    if taps[rows].x == NO_TAP || taps[columns].x == NO_TAP {
        sum = keep_lanes(vec4f(params.fill), c * 4u, params.channels);
    } else {
        for (var r = 0u; r < ROW_TAPS; r++) {
            let row = taps[rows + r];
            if !has_weight(row) {
                continue;
            }
            let line = (n * params.in_h + row.x) * params.in_w;
            var along = vec4f(0.0);
            for (var s = 0u; s < COLUMN_TAPS; s++) {
                let column = taps[columns + s];
                if has_weight(column) {
                    let v = loaded(x[params.x_offset + (line + column.x) * params.x_stride + c]);
                    along += bitcast<f32>(column.y) * v;
                }
            }
            sum += bitcast<f32>(row.y) * along;
        }
    }
    y[params.y_offset + pixel * params.y_stride + c] = stored(sum);
}

fn has_weight(tap: vec2u) -> bool {
    return (tap.y & 0x7fffffffu) != 0u;
}
