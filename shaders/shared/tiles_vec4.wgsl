// Tiles that matrices are loaded from, four values at once.

const PITCH: u32 = TILE_K4 + 2u; // vec4s of a row, more than it has, so that rows do not begin in the same banks

var<workgroup> tile_x: array<Stored, TILE_M * PITCH>; // [pixel][k4]
var<workgroup> tile_w: array<Stored, TILE_N * PITCH>; // [n][k4]
var<workgroup> staged: array<vec4f, ROLES * SPLIT_K * MATRIX4>; // a matrix of each subgroup

fn put_x(lane: u32, load: u32, x: Fetched) {
    let at = cell(lane, load);
    tile_x[at.x * PITCH + at.y] = select(Stored(), x.value, x.there);
}

fn put_w(lane: u32, load: u32, v: Stored) {
    let at = beside(lane, load);
    tile_w[at.x * PITCH + at.y] = v;
}

fn load_a(m: u32, k: u32) -> MatrixA {
    return coopLoadT<MatrixA>(&tile_x[m * PITCH + k * (SIZE / 4u)], PITCH);
}

fn load_b(n: u32, k: u32) -> MatrixB {
    return coopLoad<MatrixB>(&tile_w[n * PITCH + k * (SIZE / 4u)], PITCH);
}

fn stage(slot: u32, c: MatrixC) {
    let first = slot * MATRIX4;
    let pitch = SIZE / 4u;
    coopStoreT(c, &staged[first], pitch);
}

fn staged_at(i: u32) -> vec4f {
    return staged[i];
}
