// Cooperative matrices alone: y = rounds * A * (B0 + B1 + B2 + B3), in four chains C = A * B + C.
// A subgroup makes one matrix: a workgroup makes as many as it has subgroups, SUBGROUPS at most, and leaves the rest.
// Dispatch: as many workgroups as y has room for, in one row: where matrices are used, none may return early.
// Pieces from shared/: one of factor_f16, factor_f32; one of matrices_8, matrices_16.
// Constants from Rust: WG_SIZE, SIZE, SUBGROUPS.

struct Params {
    rounds: u32,
}

@group(0) @binding(0) var<storage, read> factors: array<Factor>; // A, B0, B1, B2, B3, row by row
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

const LEN: u32 = SIZE * SIZE;

@compute @workgroup_size(WG_SIZE)
fn cooperative_matrix(@builtin(workgroup_id) workgroup: vec3u, @builtin(subgroup_id) subgroup: u32) {
    let a = coopLoadT<MatrixA>(&factors[0], SIZE);
    let b0 = coopLoadT<MatrixB>(&factors[LEN], SIZE);
    let b1 = coopLoadT<MatrixB>(&factors[2u * LEN], SIZE);
    let b2 = coopLoadT<MatrixB>(&factors[3u * LEN], SIZE);
    let b3 = coopLoadT<MatrixB>(&factors[4u * LEN], SIZE);
    var c0 = MatrixC();
    var c1 = MatrixC();
    var c2 = MatrixC();
    var c3 = MatrixC();
    for (var round = 0u; round < params.rounds; round += 1u) {
        c0 = coopMultiplyAdd(a, b0, c0);
        c1 = coopMultiplyAdd(a, b1, c1);
        c2 = coopMultiplyAdd(a, b2, c2);
        c3 = coopMultiplyAdd(a, b3, c3);
    }
    let sum = c0 + c1 + c2 + c3;
    coopStoreT(sum, &y[(workgroup.x * SUBGROUPS + subgroup) * LEN], SIZE);
}
