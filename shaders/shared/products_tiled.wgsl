// Sums of products through workgroup memory: tiles of TILE_K terms, of which each value is read by many. Neighbours
// load along k where the operand's values lie side by side along it, else along rows or columns.

const TILE_I: u32 = 64u;
const TILE_J: u32 = 64u;
const TILE_K: u32 = 16u;
// Vec4s from k to k: one more than there are, so that stores of neighbours fall into different banks.
const ROW: u32 = 17u;

const_assert WG_SIZE == 128u;

var<workgroup> tile_a: array<vec4f, TILE_K * ROW>; // [k][four rows]
var<workgroup> tile_b: array<vec4f, TILE_K * ROW>; // [k][four columns]

fn product(at: vec2u, first_i: u32, first_j: u32, lane: u32) -> Sums {
    let i4 = lane / 16u * 2u;
    let j4 = lane % 16u;
    var sums: Sums;
    for (var first_k = 0u; first_k < params.depth; first_k += TILE_K) {
        // All loads come before the first store, so that an invocation waits for memory once.
        let a0 = fetch_a(at.x, first_i, first_k, cell(lane, A_ALONG_K));
        let a1 = fetch_a(at.x, first_i, first_k, cell(lane + WG_SIZE, A_ALONG_K));
        let b0 = fetch_b(at.y, first_j, first_k, cell(lane, B_ALONG_K));
        let b1 = fetch_b(at.y, first_j, first_k, cell(lane + WG_SIZE, B_ALONG_K));
        workgroupBarrier();
        tile_a[place(cell(lane, A_ALONG_K))] = a0;
        tile_a[place(cell(lane + WG_SIZE, A_ALONG_K))] = a1;
        tile_b[place(cell(lane, B_ALONG_K))] = b0;
        tile_b[place(cell(lane + WG_SIZE, B_ALONG_K))] = b1;
        workgroupBarrier();
        for (var k = 0u; k < TILE_K; k++) {
            let above = tile_a[k * ROW + i4];
            let below = tile_a[k * ROW + i4 + 1u];
            let v = tile_b[k * ROW + j4];
            sums.r0 = fma(vec4f(above.x), v, sums.r0);
            sums.r1 = fma(vec4f(above.y), v, sums.r1);
            sums.r2 = fma(vec4f(above.z), v, sums.r2);
            sums.r3 = fma(vec4f(above.w), v, sums.r3);
            sums.r4 = fma(vec4f(below.x), v, sums.r4);
            sums.r5 = fma(vec4f(below.y), v, sums.r5);
            sums.r6 = fma(vec4f(below.z), v, sums.r6);
            sums.r7 = fma(vec4f(below.w), v, sums.r7);
        }
    }
    return sums;
}

// The vec4 of a tile that is loaded: its k, and which four rows or columns.
fn cell(load: u32, along_k: bool) -> vec2u {
    return select(vec2u(load / 16u, load % 16u), vec2u(load % 16u, load / 16u), along_k);
}

fn place(cell: vec2u) -> u32 {
    return cell.x * ROW + cell.y;
}

fn fetch_a(at: u32, first_i: u32, first_k: u32, cell: vec2u) -> vec4f {
    let i = min(first_i + cell.y * 4u + vec4u(0u, 1u, 2u, 3u), vec4u(params.rows - 1u));
    let k = first_k + cell.x;
    let words = at + i * params.a_i + min(k, params.depth - 1u) * params.a_k;
    return terms(vec4f(a[words.x], a[words.y], a[words.z], a[words.w]), k);
}

fn fetch_b(at: u32, first_j: u32, first_k: u32, cell: vec2u) -> vec4f {
    let j = min(first_j + cell.y * 4u + vec4u(0u, 1u, 2u, 3u), vec4u(params.columns - 1u));
    let k = first_k + cell.x;
    let words = at + j * params.b_j + min(k, params.depth - 1u) * params.b_k;
    return terms(vec4f(b[words.x], b[words.y], b[words.z], b[words.w]), k);
}

// Beyond the last term, zero by choice, not by multiplication: the last may be infinite.
fn terms(v: vec4f, k: u32) -> vec4f {
    return select(vec4f(0.0), v, k < params.depth);
}
