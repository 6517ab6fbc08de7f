// Three chained stride-1 max pools of 5x5, NHWC: y[i] = the maximum of x over a square of radius (i + 1) * 2, i < 3.
// One invocation makes four channels of a strip of up to eight columns, all three results, from top to bottom. It reads
// each pixel of the strip and its margins once, and keeps maxima in registers by straight-line code: on software
// adapters memory is what takes time, and arrays with a variable index are memory.
// Dispatch: ceil(len / WG_SIZE) workgroups.
// Pieces from shared/: index; one of ordered, ordered_f16; with ordered: stored_f32; with ordered_f16: stored_packed,
//   rounding; one of source_apart, source_within.
// Constants from Rust: WG_SIZE.

struct Params {
    len: u32, // invocations: n * ceil(width / 8) * channels4
    channels4: u32,
    height: u32,
    width: u32,
    x_offset: u32, // slices, in vec4s: first channel, and distance from pixel to pixel
    x_stride: u32,
    y_offset: u32, // results lie side by side, channels4 apart
    y_stride: u32,
}

@group(0) @binding(0) var<storage, read_write> y: array<Stored>;
@group(0) @binding(1) var<uniform> params: Params;

// Four neighbouring pixels of a row. A pool takes two of them on either side, so that each pool needs one quad more.
alias Quad = array<vec4u, 4>;

@compute @workgroup_size(WG_SIZE)
fn max_pool_cascade_strip(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = workgroup_index(workgroup, workgroups) * WG_SIZE + lane;
    if index >= params.len {
        return;
    }
    let strips = (params.width + 7u) / 8u;
    let columns = (params.width + strips - 1u) / strips;
    let left = i32(index / params.channels4 % strips * columns);
    let right = min(left + i32(columns), i32(params.width));
    let pixel = index / (params.channels4 * strips) * params.height * params.width;
    let x_begin = params.x_offset + index % params.channels4 + pixel * params.x_stride;
    let y_begin = params.y_offset + index % params.channels4 + pixel * params.y_stride;

    // Columns of the first pool's quads begin at left - 4, of the second's at left - 2, of the third's at left.
    var first0 = no_rows();
    var first1 = no_rows();
    var first2 = no_rows();
    var first3 = no_rows();
    var second0 = no_rows();
    var second1 = no_rows();
    var second2 = no_rows();
    var third0 = no_rows();
    var third1 = no_rows();
    for (var row = 0; row < i32(params.height) + 6; row++) {
        let end = select(0, min(right + 6, i32(params.width)), row < i32(params.height));
        let x0 = load(x_begin, row, left - 6, end);
        let x1 = load(x_begin, row, left - 2, end);
        let x2 = load(x_begin, row, left + 2, end);
        let x3 = load(x_begin, row, left + 6, end);
        let x4 = load(x_begin, row, left + 10, end);
        let p0 = down(&first0, across(x0, x1));
        let p1 = down(&first1, across(x1, x2));
        let p2 = down(&first2, across(x2, x3));
        let p3 = down(&first3, across(x3, x4));
        let q0 = down(&second0, across(p0, p1));
        let q1 = down(&second1, across(p1, p2));
        let q2 = down(&second2, across(p2, p3));
        let r0 = down(&third0, across(q0, q1));
        let r1 = down(&third1, across(q1, q2));
        // A pool is done two rows after the one before it.
        let second = y_begin + params.channels4;
        let third = second + params.channels4;
        store(y_begin, row - 2, left, right, p1);
        store(y_begin, row - 2, left + 4, right, p2);
        store(second, row - 4, left, right, Quad(q0[2], q0[3], q1[0], q1[1]));
        store(second, row - 4, left + 4, right, Quad(q1[2], q1[3], q2[0], q2[1]));
        store(third, row - 6, left, right, r0);
        store(third, row - 6, left + 4, right, r1);
    }
}

// Pixels column .. column + 4 of a row; before column 0 and from end on, nothing.
fn load(begin: u32, row: i32, column: i32, end: i32) -> Quad {
    return Quad(
        load_pixel(begin, row, column, end),
        load_pixel(begin, row, column + 1, end),
        load_pixel(begin, row, column + 2, end),
        load_pixel(begin, row, column + 3, end),
    );
}

fn load_pixel(begin: u32, row: i32, column: i32, end: i32) -> vec4u {
    if column < 0 || column >= end {
        return ORDERED_LOWEST;
    }
    return to_ordered(load_x(begin + (u32(row) * params.width + u32(column)) * params.x_stride));
}

fn store(begin: u32, row: i32, column: i32, end: i32, keys: Quad) {
    if row >= 0 && row < i32(params.height) {
        let at = begin + (u32(row) * params.width + u32(column)) * params.y_stride;
        store_pixel(at, column < end, keys[0]);
        store_pixel(at + params.y_stride, column + 1 < end, keys[1]);
        store_pixel(at + 2u * params.y_stride, column + 2 < end, keys[2]);
        store_pixel(at + 3u * params.y_stride, column + 3 < end, keys[3]);
    }
}

fn store_pixel(at: u32, inside: bool, key: vec4u) {
    if inside {
        y[at] = from_ordered(key);
    }
}

// Four maxima of five columns each, the first beginning at a[0].
fn across(a: Quad, b: Quad) -> Quad {
    let middle = max(a[3], b[0]);
    let before = max(a[2], middle);
    let first = max(a[1], before);
    let after = max(b[1], b[2]);
    return Quad(max(a[0], first), max(first, b[1]), max(before, after), max(max(middle, after), b[3]));
}

// The maximum of the last row, of the last two, three and four.
struct Rows {
    of1: Quad,
    of2: Quad,
    of3: Quad,
    of4: Quad,
}

fn no_rows() -> Rows {
    let none = Quad(ORDERED_LOWEST, ORDERED_LOWEST, ORDERED_LOWEST, ORDERED_LOWEST);
    return Rows(none, none, none, none);
}

// The maximum of a row and the four before it.
fn down(last: ptr<function, Rows>, row: Quad) -> Quad {
    let best = larger(row, (*last).of4);
    (*last).of4 = larger(row, (*last).of3);
    (*last).of3 = larger(row, (*last).of2);
    (*last).of2 = larger(row, (*last).of1);
    (*last).of1 = row;
    return best;
}

fn larger(a: Quad, b: Quad) -> Quad {
    return Quad(max(a[0], b[0]), max(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3]));
}
