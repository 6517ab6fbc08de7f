// A map as a texture: y[n,oy,ox] = the colour of x at the same place of what the network saw, between pixels
// (bilinear), over a picture or over nothing.
// One invocation makes one texel.
// Dispatch: ceil(len / WG_SIZE) workgroups.
// Pieces from shared/: index; unit; one of paints_colors, paints_heat_map, paints_classes; one of over_picture,
//   over_nothing; with over_picture: one of texel, texel_srgb; one of target_rgba8, target_rgba16float;
//   one of stored_f32, stored_f16, stored_packed; with stored_packed: rounding.
// Constants from Rust: WG_SIZE; with paints_heat_map: LANE.

struct Params {
    len: u32, // texels to write: n * out_h * out_w
    out_h: u32,
    out_w: u32,
    seen_top: u32, // the part of the texture that the network saw
    seen_left: u32,
    seen_h: u32,
    seen_w: u32,
    x_h: u32,
    x_w: u32,
    x_offset: u32, // in vec4s: first channel, and distance from pixel to pixel
    x_stride: u32,
    channels: u32,
    row_scale: f32, // from the texture's rows to the map's
    row_shift: f32,
    column_scale: f32,
    column_shift: f32,
    opacity: f32,
    scale_0: f32, // from values to colours, or to a place among them
    scale_1: f32,
    scale_2: f32,
    shift_0: f32,
    shift_1: f32,
    shift_2: f32,
    spans: f32, // between as many colours and one
}

@group(0) @binding(0) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<uniform> params: Params;

// Rows or columns of the map on both sides of a place.
struct Sides {
    first: u32,
    second: u32,
    share: f32, // of the second
}

@compute @workgroup_size(WG_SIZE)
fn paint(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = workgroup_index(workgroup, workgroups) * WG_SIZE + lane;
    if i >= params.len {
        return;
    }
    let ox = i % params.out_w;
    let oy = i / params.out_w % params.out_h;
    let n = i / (params.out_w * params.out_h);
    // Above and to the left, they wrap around.
    let row = oy - params.seen_top;
    let column = ox - params.seen_left;
    if row < params.seen_h && column < params.seen_w {
        let rows = sides((f32(row) + 0.5) * params.row_scale + params.row_shift, params.x_h);
        let columns = sides((f32(column) + 0.5) * params.column_scale + params.column_shift, params.x_w);
        put(n, oy, ox, over(n, oy, ox, painted(n, rows, columns)));
    } else {
        put(n, oy, ox, around(n, oy, ox));
    }
}

// The first value lies at 1/2.
fn sides(place: f32, size: u32) -> Sides {
    let below = floor(place - 0.5);
    let share = place - 0.5 - below;
    let last = i32(size) - 1;
    let first = clamp(i32(below), 0, last);
    let second = clamp(i32(below + ceil(share)), 0, last);
    return Sides(u32(first), u32(second), share);
}

// Four channels of the map. On a value it is that one, not 0 times another's infinity.
fn values(n: u32, rows: Sides, columns: Sides, c: u32) -> vec4f {
    let above = across(n, rows.first, columns, c);
    let below = across(n, rows.second, columns, c);
    return select(above * (1.0 - rows.share) + below * rows.share, above, rows.first == rows.second);
}

fn across(n: u32, row: u32, columns: Sides, c: u32) -> vec4f {
    let line = (n * params.x_h + row) * params.x_w;
    let first = loaded(x[params.x_offset + (line + columns.first) * params.x_stride + c]);
    let second = loaded(x[params.x_offset + (line + columns.second) * params.x_stride + c]);
    return select(first * (1.0 - columns.share) + second * columns.share, first, columns.first == columns.second);
}
