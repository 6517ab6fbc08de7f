// Chained stride-1 max pools, NHWC: y[i] = the maximum of x over a square of radius (i + 1) * RADIUS, i < TIMES.
// One workgroup makes four channels of INNER_H * INNER_W pixels, all TIMES results. It reads these pixels, and
// those around them that the pools reach, into workgroup memory once: TILE_H * TILE_W at most. There it pools along
// rows, then along columns, again and again; an invocation makes four neighbours of a row, then of a column, and reads
// what they share once. If KEEPS_X, what it read also goes beside the results, at X_OFFSET, for others that read x.
// Dispatch: n * ceil(height / INNER_H) * ceil(width / INNER_W) * channels4 workgroups, channels fastest.
// Pieces from shared/: index, ordered; one of source_apart, source_within, source_parts;
//   with source_parts: parts, activation, lanes.
// Constants from Rust: RADIUS, TIMES, TILE_H, TILE_W, INNER_H, INNER_W, KEEPS_X, X_OFFSET;
//   with source_parts: CHANNELS, PARTS, PART_LEN, ACTIVATION, SLOPE.

struct Params {
    len: u32, // workgroups
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

const REACH: u32 = RADIUS * TIMES;
const PITCH: u32 = TILE_W + 1u; // odd, so that neither rows nor columns meet in one bank

var<workgroup> tile: array<vec4u, TILE_H * PITCH>;

@compute @workgroup_size(TILE_H * TILE_W / 4u)
fn max_pool_cascade(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = workgroup_index(workgroup, workgroups);
    if index >= params.len {
        return;
    }
    let c = index % params.channels4;
    let tiles = vec2u((params.height + INNER_H - 1u) / INNER_H, (params.width + INNER_W - 1u) / INNER_W);
    let number = index / params.channels4;
    // Rows and columns: of the results, and of what lies in the tile.
    let inner = vec2u(number / tiles.y % tiles.x * INNER_H, number % tiles.y * INNER_W);
    let inner_end = min(inner + vec2u(INNER_H, INNER_W), vec2u(params.height, params.width));
    let begin = max(inner, vec2u(REACH)) - REACH;
    let extent = min(inner_end + REACH, vec2u(params.height, params.width)) - begin;
    let image = number / (tiles.x * tiles.y) * params.height;

    // An invocation's four pixels of a row, and of a column.
    let row = vec2u(lane % TILE_H, lane / TILE_H * 4u);
    let column = vec2u(lane / TILE_W * 4u, lane % TILE_W);
    for (var i = 0u; i < 4u; i++) {
        let at = row + vec2u(0u, i);
        if all(at < extent) {
            let position = begin + at;
            let pixel = (image + position.x) * params.width + position.y;
            let value = load_x(params.x_offset + pixel * params.x_stride + c);
            tile[at.x * PITCH + at.y] = to_ordered(value);
            if KEEPS_X && all(position >= inner) && all(position < inner_end) {
                y[X_OFFSET + pixel * params.y_stride + c] = value;
            }
        }
    }
    workgroupBarrier();
    for (var t = 0u; t < TIMES; t++) {
        let across = pooled(row.x * PITCH, 1u, row.y, extent.y);
        workgroupBarrier();
        put(row.x * PITCH + row.y, 1u, across);
        workgroupBarrier();
        let down = pooled(column.y, PITCH, column.x, extent.x);
        workgroupBarrier();
        put(column.x * PITCH + column.y, PITCH, down);
        workgroupBarrier();
        for (var i = 0u; i < 4u; i++) {
            let at = row + vec2u(0u, i);
            let position = begin + at;
            if all(position >= inner) && all(position < inner_end) {
                let pixel = (image + position.x) * params.width + position.y;
                let key = tile[at.x * PITCH + at.y];
                y[params.y_offset + pixel * params.y_stride + t * params.channels4 + c] = from_ordered(key);
            }
        }
    }
}

// The maxima of four windows along a line of the tile, the first around `position`. A tap beyond an end of the line
// stands for the pixel at that end, which its window holds anyway.
fn pooled(line: u32, step: u32, position: u32, extent: u32) -> array<vec4u, 4> {
    const LAST = 2u * RADIUS;
    var best = array<vec4u, 4>(ORDERED_LOWEST, ORDERED_LOWEST, ORDERED_LOWEST, ORDERED_LOWEST);
    for (var i = 0u; i < LAST + 4u; i++) {
        let key = tile[line + min(max(position + i, RADIUS) - RADIUS, extent - 1u) * step];
        best[0] = max(best[0], select(ORDERED_LOWEST, key, i <= LAST));
        best[1] = max(best[1], select(ORDERED_LOWEST, key, i >= 1u && i <= LAST + 1u));
        best[2] = max(best[2], select(ORDERED_LOWEST, key, i >= 2u && i <= LAST + 2u));
        best[3] = max(best[3], select(ORDERED_LOWEST, key, i >= 3u));
    }
    return best;
}

fn put(at: u32, step: u32, keys: array<vec4u, 4>) {
    tile[at] = keys[0];
    tile[at + step] = keys[1];
    tile[at + 2u * step] = keys[2];
    tile[at + 3u * step] = keys[3];
}
