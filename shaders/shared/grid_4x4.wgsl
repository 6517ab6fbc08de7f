// 16 matrices of a subgroup, by name, so that they stay in registers.

const GRID: u32 = 4u;

struct Sums {
    c00: MatrixC,
    c01: MatrixC,
    c02: MatrixC,
    c03: MatrixC,
    c10: MatrixC,
    c11: MatrixC,
    c12: MatrixC,
    c13: MatrixC,
    c20: MatrixC,
    c21: MatrixC,
    c22: MatrixC,
    c23: MatrixC,
    c30: MatrixC,
    c31: MatrixC,
    c32: MatrixC,
    c33: MatrixC,
}

fn clear(sums: ptr<function, Sums>) {
    (*sums).c00 = MatrixC();
    (*sums).c01 = MatrixC();
    (*sums).c02 = MatrixC();
    (*sums).c03 = MatrixC();
    (*sums).c10 = MatrixC();
    (*sums).c11 = MatrixC();
    (*sums).c12 = MatrixC();
    (*sums).c13 = MatrixC();
    (*sums).c20 = MatrixC();
    (*sums).c21 = MatrixC();
    (*sums).c22 = MatrixC();
    (*sums).c23 = MatrixC();
    (*sums).c30 = MatrixC();
    (*sums).c31 = MatrixC();
    (*sums).c32 = MatrixC();
    (*sums).c33 = MatrixC();
}

fn multiply_matrices(sums: ptr<function, Sums>, m: u32, n: u32, k: u32) {
    let a0 = load_a(m, k);
    let a1 = load_a(m + SIZE, k);
    let a2 = load_a(m + 2u * SIZE, k);
    let a3 = load_a(m + 3u * SIZE, k);
    let b0 = load_b(n, k);
    (*sums).c00 = coopMultiplyAdd(a0, b0, (*sums).c00);
    (*sums).c10 = coopMultiplyAdd(a1, b0, (*sums).c10);
    (*sums).c20 = coopMultiplyAdd(a2, b0, (*sums).c20);
    (*sums).c30 = coopMultiplyAdd(a3, b0, (*sums).c30);
    let b1 = load_b(n + SIZE, k);
    (*sums).c01 = coopMultiplyAdd(a0, b1, (*sums).c01);
    (*sums).c11 = coopMultiplyAdd(a1, b1, (*sums).c11);
    (*sums).c21 = coopMultiplyAdd(a2, b1, (*sums).c21);
    (*sums).c31 = coopMultiplyAdd(a3, b1, (*sums).c31);
    let b2 = load_b(n + 2u * SIZE, k);
    (*sums).c02 = coopMultiplyAdd(a0, b2, (*sums).c02);
    (*sums).c12 = coopMultiplyAdd(a1, b2, (*sums).c12);
    (*sums).c22 = coopMultiplyAdd(a2, b2, (*sums).c22);
    (*sums).c32 = coopMultiplyAdd(a3, b2, (*sums).c32);
    let b3 = load_b(n + 3u * SIZE, k);
    (*sums).c03 = coopMultiplyAdd(a0, b3, (*sums).c03);
    (*sums).c13 = coopMultiplyAdd(a1, b3, (*sums).c13);
    (*sums).c23 = coopMultiplyAdd(a2, b3, (*sums).c23);
    (*sums).c33 = coopMultiplyAdd(a3, b3, (*sums).c33);
}

fn store_matrices(sums: ptr<function, Sums>, job: Job, at: At, block: u32, part: u32, first: u32) {
    store_matrix(job, at, block, part, first, 0u, 0u, (*sums).c00);
    store_matrix(job, at, block, part, first, 0u, 1u, (*sums).c01);
    store_matrix(job, at, block, part, first, 0u, 2u, (*sums).c02);
    store_matrix(job, at, block, part, first, 0u, 3u, (*sums).c03);
    store_matrix(job, at, block, part, first, 1u, 0u, (*sums).c10);
    store_matrix(job, at, block, part, first, 1u, 1u, (*sums).c11);
    store_matrix(job, at, block, part, first, 1u, 2u, (*sums).c12);
    store_matrix(job, at, block, part, first, 1u, 3u, (*sums).c13);
    store_matrix(job, at, block, part, first, 2u, 0u, (*sums).c20);
    store_matrix(job, at, block, part, first, 2u, 1u, (*sums).c21);
    store_matrix(job, at, block, part, first, 2u, 2u, (*sums).c22);
    store_matrix(job, at, block, part, first, 2u, 3u, (*sums).c23);
    store_matrix(job, at, block, part, first, 3u, 0u, (*sums).c30);
    store_matrix(job, at, block, part, first, 3u, 1u, (*sums).c31);
    store_matrix(job, at, block, part, first, 3u, 2u, (*sums).c32);
    store_matrix(job, at, block, part, first, 3u, 3u, (*sums).c33);
}
