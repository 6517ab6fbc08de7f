// Chained stride-1 max pools, NHWC: y[i] = the maximum of x over a square of radius (i + 1) * radius, i < times.
// One workgroup makes four channels of inner_h * inner_w pixels, all results. It reads these pixels, and those around
// them that the pools reach, into workgroup memory once: tile_h * tile_w at most. There it pools along rows, then along
// columns, again and again; an invocation makes four neighbours of a row, then of a column, and reads what they share
// once. If KEEPS_X, what it read also goes beside the results, at kept_offset, for others that read x.
// Sizes are parameters, so that maps of all sizes share a few kernels: of WG_SIZE invocations, for tiles of up to four
// times as many pixels.
// Dispatch: n * ceil(height / inner_h) * ceil(width / inner_w) * channels4 workgroups, channels fastest.
// Pieces from shared/: index; one of ordered, ordered_f16; with ordered: stored_f32; with ordered_f16: stored_packed,
//   rounding; one of source_apart, source_within, source_parts; one of source_four, parts; with parts: activation,
//   functions_all, lanes.
// Constants from Rust: WG_SIZE, TILE_LEN, RADIUS, KEEPS_X; with source_parts: ACTIVATION, ALPHA, BETA.

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

@group(0) @binding(0) var<storage, read_write> y: array<Stored>;
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
    // Where those of the column lie in the map, and which are results. What lies beyond the map is read from its last
    // row and column, and never looked at.
    let down = vec4u(begin.x + column.x) + vec4u(0u, 1u, 2u, 3u);
    let across = begin.y + column.y;
    let rows = image + min(down, vec4u(params.height - 1u));
    let pixels = rows * params.width + min(across, params.width - 1u);
    let is_across = vec4<bool>(works && across >= inner.y && across < inner_end.y);
    let is_result = (down >= vec4u(inner.x)) & (down < vec4u(inner_end.x)) & is_across;
    let values = load_four(vec4u(params.x_offset + c) + pixels * params.x_stride);
    var keys: array<vec4u, 4>;
    keys[0] = to_ordered(values[0]);
    keys[1] = to_ordered(values[1]);
    keys[2] = to_ordered(values[2]);
    keys[3] = to_ordered(values[3]);
    if KEEPS_X {
        store_four(vec4u(params.kept_offset + c) + pixels * params.y_stride, is_result, values);
    }
    var at = vec4u(params.y_offset + c) + pixels * params.y_stride;
    for (var t = 0u; t < params.times; t++) {
        put(works, column.x * pitch + column.y, pitch, keys);
        keys = pooled(row.x * pitch, 1u, row.y, extent.y);
        workgroupBarrier();
        put(works, row.x * pitch + row.y, 1u, keys);
        keys = pooled(column.y, pitch, column.x, extent.x);
        workgroupBarrier();
        let results = array<Stored, 4>(
            from_ordered(keys[0]),
            from_ordered(keys[1]),
            from_ordered(keys[2]),
            from_ordered(keys[3]),
        );
        store_four(at, is_result, results);
        at += params.channels4;
    }
}

fn store_four(at: vec4u, is_result: vec4<bool>, v: array<Stored, 4>) {
    if is_result.x {
        y[at.x] = v[0];
    }
    if is_result.y {
        y[at.y] = v[1];
    }
    if is_result.z {
        y[at.z] = v[2];
    }
    if is_result.w {
        y[at.w] = v[3];
    }
}

// Four neighbours along a line of the tile.
fn put(works: bool, at: u32, step: u32, keys: array<vec4u, 4>) {
    if works {
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
    let radius = select(params.radius, RADIUS, RADIUS > 0u);
    let first = i32(line + position * step) - i32(radius * step);
    let ends = vec2i(i32(line), i32(line + (extent - 1u) * step));
    let after = 2u * radius + 1u;
    var middle = ORDERED_LOWEST;
    for (var i = 3u; i < after; i++) {
        middle = max(middle, tap(first + i32(i * step), ends));
    }
    let a = tap(first, ends);
    let b = tap(first + i32(step), ends);
    let c = tap(first + i32(2u * step), ends);
    let d = tap(first + i32(after * step), ends);
    let e = tap(first + i32((after + 1u) * step), ends);
    let f = tap(first + i32((after + 2u) * step), ends);
    let abc = max(b, max(c, middle));
    let cde = max(max(middle, d), e);
    return array<vec4u, 4>(max(a, abc), max(abc, d), max(c, cde), max(cde, f));
}

// Beyond an end of the line, the pixel at that end, which the window holds anyway.
fn tap(at: i32, ends: vec2i) -> vec4u {
    return tile[clamp(at, ends.x, ends.y)];
}
