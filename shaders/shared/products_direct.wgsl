// Sums of products straight from the operands: all of a workgroup read the same eight rows of a, at one address each,
// and their own four columns of b.

const TILE_I: u32 = 8u;
const TILE_J: u32 = 4u * WG_SIZE;

fn product(at: vec2u, first_i: u32, first_j: u32, lane: u32) -> Sums {
    let four = vec4u(0u, 1u, 2u, 3u);
    // Beyond the last row or column, the last.
    var above = at.x + min(first_i + four, vec4u(params.rows - 1u)) * params.a_i;
    var below = at.x + min(first_i + 4u + four, vec4u(params.rows - 1u)) * params.a_i;
    var columns = at.y + min(first_j + lane * 4u + four, vec4u(params.columns - 1u)) * params.b_j;
    var sums: Sums;
    for (var k = 0u; k < params.depth; k++) {
        let v = vec4f(b[columns.x], b[columns.y], b[columns.z], b[columns.w]);
        sums.r0 = fma(vec4f(a[above.x]), v, sums.r0);
        sums.r1 = fma(vec4f(a[above.y]), v, sums.r1);
        sums.r2 = fma(vec4f(a[above.z]), v, sums.r2);
        sums.r3 = fma(vec4f(a[above.w]), v, sums.r3);
        sums.r4 = fma(vec4f(a[below.x]), v, sums.r4);
        sums.r5 = fma(vec4f(a[below.y]), v, sums.r5);
        sums.r6 = fma(vec4f(a[below.z]), v, sums.r6);
        sums.r7 = fma(vec4f(a[below.w]), v, sums.r7);
        above += params.a_k;
        below += params.a_k;
        columns += params.b_k;
    }
    return sums;
}
