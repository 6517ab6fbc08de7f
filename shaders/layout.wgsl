// Reordering between NCHW and NHWC: y[a + b * y_b + n * y_n] = x[a * x_a + b * x_b + n * x_n]; x_b is 1 if TURN, x_a if
// not. From valid_a on lies the padding of channels: written as zeros, or not at all. Bits stay as they are, unless x
// and y have different types.
// One invocation makes four values of a at each of four b, and moves four values at once. Invocations lie side by side
// along a, as their writes do; if TURN, their reads of 16 bytes are far apart, and caches bring them together.
// Dispatch: ceil(len / WG_SIZE) workgroups.
// Pieces from shared/: index; one of x4_aligned, x4_shifted, x4_scalar, x4_scalar_f16, x4_scalar_u8, x4_parts; one of
//   y4_aligned, y4_scalar, y4_scalar_f16, y4_scalar_u8; with y4_scalar_f16: y_halves; one of x_f32, x_f16, x_u8; one of
//   y_f32, y_f16, y_u8; one of kept, widened, narrowed, widened_u8, widened_u8_f16, narrowed_u8, narrowed_f16_u8; with
//   narrowed: rounding; with widened_u8_f16: rounding; with narrowed_u8: saturated;
//   with narrowed_f16_u8: saturated; one of x4_lines, parts; with x4_parts: activation, functions_all.
// Constants from Rust: WG_SIZE, TURN, LINES; with x4_parts: ACTIVATION, ALPHA, BETA.

struct Params {
    len: u32, // blocks_a * ceil(extent_b / 4) * images
    blocks_a: u32,
    valid_a: u32, // in blocks_a * 4
    extent_b: u32,
    parts: u32, // maps to add up, and vec4s from one to the next
    part_len: u32,
    x_offset: u32, // from here on in elements
    x_a: u32,
    x_b: u32,
    x_n: u32,
    y_offset: u32,
    y_b: u32,
    y_n: u32,
}

@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(WG_SIZE)
fn relayout(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = workgroup_index(workgroup, workgroups) * WG_SIZE + lane;
    if i >= params.len {
        return;
    }
    let blocks_b = (params.extent_b + 3u) / 4u;
    let a = i % params.blocks_a * 4u;
    let b = i / params.blocks_a % blocks_b * 4u;
    let n = i / (params.blocks_a * blocks_b);
    let x_first = params.x_offset + a * params.x_a + b * params.x_b + n * params.x_n;
    let y_first = params.y_offset + a + b * params.y_b + n * params.y_n;
    // Four values side by side in each of four lines: along b if TURN, along a if not. A line beyond the extent is
    // zero, which is what padding holds; the first is read in its place, so that no load waits for a branch. Where no
    // invocation has more than LINES, compilers leave out the others' loads.
    let lines = vec4u(0u, 1u, 2u, 3u);
    let there = lines < vec4u(min(LINES, select(params.extent_b - b, params.valid_a - a, TURN)));
    let v = load_lines(x_first + select(vec4u(0u), lines, there) * select(params.x_b, params.x_a, TURN));
    let v0 = v[0];
    let v1 = select(vec4u(0u), v[1], there.y);
    let v2 = select(vec4u(0u), v[2], there.z);
    let v3 = select(vec4u(0u), v[3], there.w);
    if TURN {
        put(y_first, a, b, 0u, vec4u(v0.x, v1.x, v2.x, v3.x));
        put(y_first, a, b, 1u, vec4u(v0.y, v1.y, v2.y, v3.y));
        put(y_first, a, b, 2u, vec4u(v0.z, v1.z, v2.z, v3.z));
        put(y_first, a, b, 3u, vec4u(v0.w, v1.w, v2.w, v3.w));
    } else {
        let valid = lines < vec4u(params.valid_a - a);
        put(y_first, a, b, 0u, select(vec4u(0u), v0, valid));
        put(y_first, a, b, 1u, select(vec4u(0u), v1, valid));
        put(y_first, a, b, 2u, select(vec4u(0u), v2, valid));
        put(y_first, a, b, 3u, select(vec4u(0u), v3, valid));
    }
}

fn put(first: u32, a: u32, b: u32, i: u32, v: vec4u) {
    if b + i < params.extent_b {
        store_y4(first + i * params.y_b, converted(v), params.valid_a - a);
    }
}
