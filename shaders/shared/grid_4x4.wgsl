// 16 matrices of a subgroup, by name, so that they stay in registers.

const GRID: u32 = 4u;

var<private> c00: MatrixC;
var<private> c01: MatrixC;
var<private> c02: MatrixC;
var<private> c03: MatrixC;
var<private> c10: MatrixC;
var<private> c11: MatrixC;
var<private> c12: MatrixC;
var<private> c13: MatrixC;
var<private> c20: MatrixC;
var<private> c21: MatrixC;
var<private> c22: MatrixC;
var<private> c23: MatrixC;
var<private> c30: MatrixC;
var<private> c31: MatrixC;
var<private> c32: MatrixC;
var<private> c33: MatrixC;

fn clear() {
    c00 = MatrixC();
    c01 = MatrixC();
    c02 = MatrixC();
    c03 = MatrixC();
    c10 = MatrixC();
    c11 = MatrixC();
    c12 = MatrixC();
    c13 = MatrixC();
    c20 = MatrixC();
    c21 = MatrixC();
    c22 = MatrixC();
    c23 = MatrixC();
    c30 = MatrixC();
    c31 = MatrixC();
    c32 = MatrixC();
    c33 = MatrixC();
}

fn multiply_matrices(m: u32, n: u32, k: u32) {
    let a0 = load_a(m, k);
    let a1 = load_a(m + SIZE, k);
    let a2 = load_a(m + 2u * SIZE, k);
    let a3 = load_a(m + 3u * SIZE, k);
    let b0 = load_b(n, k);
    c00 = coopMultiplyAdd(a0, b0, c00);
    c10 = coopMultiplyAdd(a1, b0, c10);
    c20 = coopMultiplyAdd(a2, b0, c20);
    c30 = coopMultiplyAdd(a3, b0, c30);
    let b1 = load_b(n + SIZE, k);
    c01 = coopMultiplyAdd(a0, b1, c01);
    c11 = coopMultiplyAdd(a1, b1, c11);
    c21 = coopMultiplyAdd(a2, b1, c21);
    c31 = coopMultiplyAdd(a3, b1, c31);
    let b2 = load_b(n + 2u * SIZE, k);
    c02 = coopMultiplyAdd(a0, b2, c02);
    c12 = coopMultiplyAdd(a1, b2, c12);
    c22 = coopMultiplyAdd(a2, b2, c22);
    c32 = coopMultiplyAdd(a3, b2, c32);
    let b3 = load_b(n + 3u * SIZE, k);
    c03 = coopMultiplyAdd(a0, b3, c03);
    c13 = coopMultiplyAdd(a1, b3, c13);
    c23 = coopMultiplyAdd(a2, b3, c23);
    c33 = coopMultiplyAdd(a3, b3, c33);
}

fn store_matrices(job: Job, at: At, block: u32, part: u32, first: u32) {
    store_matrix(job, at, block, part, first, 0u, 0u, c00);
    store_matrix(job, at, block, part, first, 0u, 1u, c01);
    store_matrix(job, at, block, part, first, 0u, 2u, c02);
    store_matrix(job, at, block, part, first, 0u, 3u, c03);
    store_matrix(job, at, block, part, first, 1u, 0u, c10);
    store_matrix(job, at, block, part, first, 1u, 1u, c11);
    store_matrix(job, at, block, part, first, 1u, 2u, c12);
    store_matrix(job, at, block, part, first, 1u, 3u, c13);
    store_matrix(job, at, block, part, first, 2u, 0u, c20);
    store_matrix(job, at, block, part, first, 2u, 1u, c21);
    store_matrix(job, at, block, part, first, 2u, 2u, c22);
    store_matrix(job, at, block, part, first, 2u, 3u, c23);
    store_matrix(job, at, block, part, first, 3u, 0u, c30);
    store_matrix(job, at, block, part, first, 3u, 1u, c31);
    store_matrix(job, at, block, part, first, 3u, 2u, c32);
    store_matrix(job, at, block, part, first, 3u, 3u, c33);
}
