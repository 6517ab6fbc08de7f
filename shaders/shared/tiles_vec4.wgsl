// Tiles that matrices are loaded from, four values at once.

const PITCH: u32 = TILE_K4 + 2u; // vec4s of a row, more than it has, so that rows do not begin in the same banks

var<workgroup> tile_x: array<Stored, TILE_M * PITCH>; // [pixel][k4]
var<workgroup> tile_w: array<Stored, TILE_N * PITCH>; // [n][k4]
var<workgroup> staged: array<vec4f, ROLES * SPLIT_K * MATRIX4>; // a matrix of each subgroup

fn put_x(i: u32, x: Fetched) {
    tile_x[i / TILE_K4 * PITCH + i % TILE_K4] = select(Stored(), x.value, x.there);
}

fn put_w(i: u32, v: Stored) {
    tile_w[i / TILE_K4 * PITCH + i % TILE_K4] = v;
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
