// 4 matrices of a subgroup, by name, so that they stay in registers.

const GRID: u32 = 2u;

struct Sums {
    c00: MatrixC,
    c01: MatrixC,
    c10: MatrixC,
    c11: MatrixC,
}

fn clear(sums: ptr<function, Sums>) {
    (*sums).c00 = MatrixC();
    (*sums).c01 = MatrixC();
    (*sums).c10 = MatrixC();
    (*sums).c11 = MatrixC();
}

fn multiply_matrices(sums: ptr<function, Sums>, m: u32, n: u32, k: u32) {
    let a0 = load_a(m, k);
    let a1 = load_a(m + SIZE, k);
    let b0 = load_b(n, k);
    (*sums).c00 = coopMultiplyAdd(a0, b0, (*sums).c00);
    (*sums).c10 = coopMultiplyAdd(a1, b0, (*sums).c10);
    let b1 = load_b(n + SIZE, k);
    (*sums).c01 = coopMultiplyAdd(a0, b1, (*sums).c01);
    (*sums).c11 = coopMultiplyAdd(a1, b1, (*sums).c11);
}

fn store_matrices(sums: ptr<function, Sums>, job: Job, at: At, block: u32, part: u32, first: u32) {
    store_matrix(job, at, block, part, first, 0u, 0u, (*sums).c00);
    store_matrix(job, at, block, part, first, 0u, 1u, (*sums).c01);
    store_matrix(job, at, block, part, first, 1u, 0u, (*sums).c10);
    store_matrix(job, at, block, part, first, 1u, 1u, (*sums).c11);
}
