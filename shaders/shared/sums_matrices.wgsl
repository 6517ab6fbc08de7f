// Sums of convolutions in cooperative matrices: a subgroup has a role, for which it makes GRID by GRID of them, and a
// share of every step. A workgroup has as many subgroups as that takes if they are as large as can be; if they are
// smaller, those without a role only load.
// Weights of a chunk: [TILE_N][TILE_K].

struct At {
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_id) subgroup: u32,
}

const SIDE: u32 = GRID * SIZE; // pixels, and channels, of a role
const ROLES_N: u32 = TILE_N / SIDE;
const ROLES: u32 = TILE_M / SIDE * ROLES_N;
const SHARE_K: u32 = TILE_K / SIZE / SPLIT_K; // matrices of a step in a share
const MATRIX4: u32 = SIZE * SIZE / 4u; // vec4s of a matrix

fn begin_sums(sums: ptr<function, Sums>, job: Job, at: At, block: u32, part: u32) {
    clear(sums);
}

fn multiply(sums: ptr<function, Sums>, at: At) {
    if at.subgroup < ROLES * SPLIT_K {
        let m = at.subgroup % ROLES / ROLES_N * SIDE;
        let n = at.subgroup % ROLES_N * SIDE;
        let k = at.subgroup / ROLES * SHARE_K;
        for (var i = 0u; i < SHARE_K; i++) {
            multiply_matrices(sums, m, n, k + i);
        }
    }
}

fn end_sums(sums: ptr<function, Sums>, job: Job, at: At, block: u32, part: u32, first: u32) {
    store_matrices(sums, job, at, block, part, first);
}

// The matrix at this row and column of every role's grid, by way of workgroup memory: matrices give out no values.
fn store_matrix(job: Job, at: At, block: u32, part: u32, first: u32, row: u32, column: u32, c: MatrixC) {
    if at.subgroup < ROLES * SPLIT_K {
        stage(at.subgroup, c);
    }
    workgroupBarrier();
    for (var i = at.lane; i < ROLES * MATRIX4; i += WG_SIZE) {
        let role = i / MATRIX4;
        var sum = staged_at(i);
        for (var s = 1u; s < SPLIT_K; s++) {
            sum += staged_at(i + s * ROLES * MATRIX4);
        }
        let pixel = first + role / ROLES_N * SIDE + row * SIZE + i % MATRIX4 / (SIZE / 4u);
        let o4 = block * TILE_N4 + (role % ROLES_N * SIDE + column * SIZE) / 4u + i % (SIZE / 4u);
        if part == 0u {
            sum += bias[job.bias + o4];
        }
        store_sum(job, part, pixel, o4, sum);
    }
    workgroupBarrier();
}
