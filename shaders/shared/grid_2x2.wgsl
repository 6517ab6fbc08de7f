// 4 matrices of a subgroup, by name, so that they stay in registers.

const GRID: u32 = 2u;

var<private> c00: MatrixC;
var<private> c01: MatrixC;
var<private> c10: MatrixC;
var<private> c11: MatrixC;

fn clear() {
    c00 = MatrixC();
    c01 = MatrixC();
    c10 = MatrixC();
    c11 = MatrixC();
}

fn multiply_matrices(m: u32, n: u32, k: u32) {
    let a0 = load_a(m, k);
    let a1 = load_a(m + SIZE, k);
    let b0 = load_b(n, k);
    c00 = coopMultiplyAdd(a0, b0, c00);
    c10 = coopMultiplyAdd(a1, b0, c10);
    let b1 = load_b(n + SIZE, k);
    c01 = coopMultiplyAdd(a0, b1, c01);
    c11 = coopMultiplyAdd(a1, b1, c11);
}

fn store_matrices(job: Job, at: At, block: u32, part: u32, first: u32) {
    store_matrix(job, at, block, part, first, 0u, 0u, c00);
    store_matrix(job, at, block, part, first, 0u, 1u, c01);
    store_matrix(job, at, block, part, first, 1u, 0u, c10);
    store_matrix(job, at, block, part, first, 1u, 1u, c11);
}
