// Chained stride-1 max pools, NHWC: y[i] = the maximum of x over a square of radius (i + 1) * radius, i < times.
// One workgroup makes four channels of inner_h * inner_w pixels, all results. It reads these pixels, and those around
// them that the pools reach, into workgroup memory once: tile_h * tile_w at most. There it pools along rows, then along
// columns, again and again; an invocation makes four neighbours of a row, then of a column, and reads what they share
// once. If KEEPS_X, what it read also goes beside the results, at kept_offset, for others that read x.
// Sizes are parameters, so that maps of all sizes share a few kernels: of WG_SIZE invocations, for tiles of up to four
// times as many pixels.
// Dispatch: n * ceil(height / inner_h) * ceil(width / inner_w) * channels4 workgroups, channels fastest.
// Pieces from shared/: index, ordered; one of source_apart, source_within, source_parts;
//   with source_parts: parts, activation, lanes.
// Constants from Rust: WG_SIZE, TILE_LEN, KEEPS_X; with source_parts: ACTIVATION, SLOPE.

struct Params {
    len: u32, // workgroups
    channels: u32, // lanes from here on hold padding
    channels4: u32,
    height: u32,
    width: u32,
    radius: u32,
    times: u32,
    tile_h: u32, // multiples of four
    tile_w: u32,
    inverse_h: u32, // 65536 / tile_h and / tile_w, rounded up
    inverse_w: u32,
    inner_h: u32,
    inner_w: u32,
    tiles_h: u32,
    tiles_w: u32,
    parts: u32, // maps to add up, and vec4s from one to the next
    part_len: u32,
    x_offset: u32, // slices, in vec4s: first channel, and distance from pixel to pixel
    x_stride: u32,
    kept_offset: u32,
    y_offset: u32, // results lie side by side, channels4 apart
    y_stride: u32,
}

@group(0) @binding(0) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(1) var<uniform> params: Params;

var<workgroup> tile: array<vec4u, TILE_LEN>;

@compute @workgroup_size(WG_SIZE)
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
    let size = vec2u(params.height, params.width);
    let whole = vec2u(params.tile_h, params.tile_w);
    let most = vec2u(params.inner_h, params.inner_w);
    let reach = params.radius * params.times;
    let tiles = vec2u(params.tiles_h, params.tiles_w);
    let number = index / params.channels4;
    // Rows and columns: of the results, and of what lies in the tile.
    let inner = vec2u(number / tiles.y % tiles.x, number % tiles.y) * most;
    let inner_end = min(inner + most, size);
    let begin = max(inner, vec2u(reach)) - reach;
    let extent = min(inner_end + reach, size) - begin;
    let image = number / (tiles.x * tiles.y) * params.height;

    // An invocation's four pixels of a row, and of a column. Those of invocations beyond the tile lie beyond it, too.
    let pitch = whole.y + 1u; // odd, so that neither rows nor columns meet in one bank
    let quads = vec2u(lane * params.inverse_h, lane * params.inverse_w) / 65536u; // lane / whole
    let row = vec2u(lane - quads.x * whole.x, quads.x * 4u);
    let column = vec2u(quads.y * 4u, lane - quads.y * whole.y);
    let works = row.y < whole.y;
    for (var i = 0u; i < 4u; i++) {
        let at = row + vec2u(0u, i);
        if all(at < extent) {
            let position = begin + at;
            let pixel = (image + position.x) * params.width + position.y;
            let value = load_x(params.x_offset + pixel * params.x_stride + c);
            tile[at.x * pitch + at.y] = to_ordered(value);
            if KEEPS_X && all(position >= inner) && all(position < inner_end) {
                y[params.kept_offset + pixel * params.y_stride + c] = value;
            }
        }
    }
    workgroupBarrier();
    for (var t = 0u; t < params.times; t++) {
        pool(works, row.x * pitch, 1u, row.y, extent.y);
        pool(works, column.y, pitch, column.x, extent.x);
        for (var i = 0u; i < 4u; i++) {
            let at = row + vec2u(0u, i);
            let position = begin + at;
            if all(position >= inner) && all(position < inner_end) {
                let pixel = (image + position.x) * params.width + position.y;
                let key = tile[at.x * pitch + at.y];
                y[params.y_offset + pixel * params.y_stride + t * params.channels4 + c] = from_ordered(key);
            }
        }
    }
}

// Puts the maxima of four windows along a line of the tile where the middles of these windows were.
fn pool(works: bool, line: u32, step: u32, position: u32, extent: u32) {
    var keys: array<vec4u, 4>;
    if works {
        keys = pooled(line, step, position, extent);
    }
    workgroupBarrier();
    if works {
        let at = line + position * step;
        tile[at] = keys[0];
        tile[at + step] = keys[1];
        tile[at + 2u * step] = keys[2];
        tile[at + 3u * step] = keys[3];
    }
    workgroupBarrier();
}

// The maxima of four windows along a line of the tile, the first around `position`: of what all four hold, and of
// three taps before that and three behind it.
fn pooled(line: u32, step: u32, position: u32, extent: u32) -> array<vec4u, 4> {
    let end = 2u * params.radius + 1u;
    var middle = ORDERED_LOWEST;
    for (var i = 3u; i < end; i++) {
        middle = max(middle, tap(line, step, position + i, extent));
    }
    let a = tap(line, step, position, extent);
    let b = tap(line, step, position + 1u, extent);
    let c = tap(line, step, position + 2u, extent);
    let d = tap(line, step, position + end, extent);
    let e = tap(line, step, position + end + 1u, extent);
    let f = tap(line, step, position + end + 2u, extent);
    let before = max(b, max(c, middle));
    let after = max(max(middle, d), e);
    return array<vec4u, 4>(max(a, before), max(before, d), max(c, after), max(after, f));
}

// The pixel `radius` before `position`. Beyond an end of the line it stands for the pixel at that end, which its window
// holds anyway.
fn tap(line: u32, step: u32, position: u32, extent: u32) -> vec4u {
    return tile[line + min(max(position, params.radius) - params.radius, extent - 1u) * step];
}
