// Tiles that matrices are loaded from, value by value, as Metal has it.

const PITCH: u32 = TILE_K + 8u; // values of a row, more than it has, so that rows do not begin in the same banks

var<workgroup> tile_x: array<Factor, TILE_M * PITCH>; // [pixel][k]
var<workgroup> tile_w: array<Factor, TILE_N * PITCH>; // [n][k]
var<workgroup> staged: array<f32, ROLES * SPLIT_K * MATRIX4 * 4u>; // a matrix of each subgroup

fn put_x(lane: u32, load: u32, x: Fetched) {
    let at = cell(lane, load);
    let to = at.x * PITCH + at.y * 4u;
    let v = select(Stored(), x.value, x.there);
    tile_x[to] = v.x;
    tile_x[to + 1u] = v.y;
    tile_x[to + 2u] = v.z;
    tile_x[to + 3u] = v.w;
}

fn put_w(lane: u32, load: u32, v: Stored) {
    let at = beside(lane, load);
    let to = at.x * PITCH + at.y * 4u;
    tile_w[to] = v.x;
    tile_w[to + 1u] = v.y;
    tile_w[to + 2u] = v.z;
    tile_w[to + 3u] = v.w;
}

fn load_a(m: u32, k: u32) -> MatrixA {
    return coopLoadT<MatrixA>(&tile_x[m * PITCH + k * SIZE], PITCH);
}

fn load_b(n: u32, k: u32) -> MatrixB {
    return coopLoad<MatrixB>(&tile_w[n * PITCH + k * SIZE], PITCH);
}

fn stage(slot: u32, c: MatrixC) {
    let first = slot * MATRIX4 * 4u;
    let pitch = SIZE;
    coopStoreT(c, &staged[first], pitch);
}

fn staged_at(i: u32) -> vec4f {
    return vec4f(staged[i * 4u], staged[i * 4u + 1u], staged[i * 4u + 2u], staged[i * 4u + 3u]);
}
