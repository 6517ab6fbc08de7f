// Sums of convolutions in registers: an invocation makes 8 pixels times 2 vec4s of channels, its channels THREADS_N
// vec4s apart, so that neighbours read and write side by side. By name, not in an array: NVIDIA's compiler leaves loops
// over those, and then keeps them in memory.
// Weights of a chunk: [TILE_K][TILE_N4].

struct At {
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
}

const THREADS_N: u32 = TILE_N4 / 2u;
const THREADS: u32 = TILE_M / 8u * THREADS_N; // that share nothing but the tiles
const WG_SIZE: u32 = THREADS * SPLIT_K;
const SHARE_K4: u32 = TILE_K4 / SPLIT_K;

var<workgroup> tile_x: array<vec4f, TILE_M * TILE_K4>; // [pixel][k4]
var<workgroup> tile_w: array<vec4f, TILE_K * TILE_N4>; // [k][n4]; in the end [pixel][n4], to add up shares

// [pixel][n4]
struct Sums {
    sum0: vec4f,
    sum1: vec4f,
    sum2: vec4f,
    sum3: vec4f,
    sum4: vec4f,
    sum5: vec4f,
    sum6: vec4f,
    sum7: vec4f,
    sum8: vec4f,
    sum9: vec4f,
    sum10: vec4f,
    sum11: vec4f,
    sum12: vec4f,
    sum13: vec4f,
    sum14: vec4f,
    sum15: vec4f,
}

fn put_x(lane: u32, load: u32, x: Fetched) {
    tile_x[lane + load * WG_SIZE] = select(vec4f(0.0), loaded(x.value), x.there);
}

fn put_w(lane: u32, load: u32, v: Stored) {
    tile_w[lane + load * WG_SIZE] = loaded(v);
}

fn n4_of(at: At) -> u32 {
    return at.lane % THREADS_N;
}

fn m_of(at: At) -> u32 {
    return at.lane / THREADS_N % (TILE_M / 8u) * 8u;
}

fn begin_sums(sums: ptr<function, Sums>, job: Job, at: At, block: u32, part: u32) {
    let o4 = block * TILE_N4 + n4_of(at);
    let has_bias = at.lane < THREADS && part == 0u;
    let bias0 = select(vec4f(0.0), bias[job.bias + o4], has_bias);
    let bias1 = select(vec4f(0.0), bias[job.bias + o4 + THREADS_N], has_bias);
    (*sums).sum0 = bias0;
    (*sums).sum1 = bias1;
    (*sums).sum2 = bias0;
    (*sums).sum3 = bias1;
    (*sums).sum4 = bias0;
    (*sums).sum5 = bias1;
    (*sums).sum6 = bias0;
    (*sums).sum7 = bias1;
    (*sums).sum8 = bias0;
    (*sums).sum9 = bias1;
    (*sums).sum10 = bias0;
    (*sums).sum11 = bias1;
    (*sums).sum12 = bias0;
    (*sums).sum13 = bias1;
    (*sums).sum14 = bias0;
    (*sums).sum15 = bias1;
}

// A share of a step. Counted from zero, or NVIDIA's compiler in Mesa keeps the loop; pixel by pixel, so that Intel's
// and Apple's need no more registers than there are.
fn multiply(sums: ptr<function, Sums>, at: At) {
    let x = m_of(at) * TILE_K4 + at.lane / THREADS * SHARE_K4;
    let w = at.lane / THREADS * SHARE_K4 * 4u * TILE_N4 + n4_of(at);
    for (var k4 = 0u; k4 < SHARE_K4; k4++) {
        let row0 = w + k4 * 4u * TILE_N4;
        let w03 = tile_w[row0 + 3u * TILE_N4];
        let w02 = tile_w[row0 + 2u * TILE_N4];
        let w01 = tile_w[row0 + TILE_N4];
        let w00 = tile_w[row0];
        let row1 = w + k4 * 4u * TILE_N4 + THREADS_N;
        let w13 = tile_w[row1 + 3u * TILE_N4];
        let w12 = tile_w[row1 + 2u * TILE_N4];
        let w11 = tile_w[row1 + TILE_N4];
        let w10 = tile_w[row1];
        let x0 = tile_x[x + k4];
        (*sums).sum0 = dot4(x0, w00, w01, w02, w03, (*sums).sum0);
        (*sums).sum1 = dot4(x0, w10, w11, w12, w13, (*sums).sum1);
        let x1 = tile_x[x + k4 + TILE_K4];
        (*sums).sum2 = dot4(x1, w00, w01, w02, w03, (*sums).sum2);
        (*sums).sum3 = dot4(x1, w10, w11, w12, w13, (*sums).sum3);
        let x2 = tile_x[x + k4 + 2u * TILE_K4];
        (*sums).sum4 = dot4(x2, w00, w01, w02, w03, (*sums).sum4);
        (*sums).sum5 = dot4(x2, w10, w11, w12, w13, (*sums).sum5);
        let x3 = tile_x[x + k4 + 3u * TILE_K4];
        (*sums).sum6 = dot4(x3, w00, w01, w02, w03, (*sums).sum6);
        (*sums).sum7 = dot4(x3, w10, w11, w12, w13, (*sums).sum7);
        let x4 = tile_x[x + k4 + 4u * TILE_K4];
        (*sums).sum8 = dot4(x4, w00, w01, w02, w03, (*sums).sum8);
        (*sums).sum9 = dot4(x4, w10, w11, w12, w13, (*sums).sum9);
        let x5 = tile_x[x + k4 + 5u * TILE_K4];
        (*sums).sum10 = dot4(x5, w00, w01, w02, w03, (*sums).sum10);
        (*sums).sum11 = dot4(x5, w10, w11, w12, w13, (*sums).sum11);
        let x6 = tile_x[x + k4 + 6u * TILE_K4];
        (*sums).sum12 = dot4(x6, w00, w01, w02, w03, (*sums).sum12);
        (*sums).sum13 = dot4(x6, w10, w11, w12, w13, (*sums).sum13);
        let x7 = tile_x[x + k4 + 7u * TILE_K4];
        (*sums).sum14 = dot4(x7, w00, w01, w02, w03, (*sums).sum14);
        (*sums).sum15 = dot4(x7, w10, w11, w12, w13, (*sums).sum15);
    }
}

fn dot4(a: vec4f, w0: vec4f, w1: vec4f, w2: vec4f, w3: vec4f, sum: vec4f) -> vec4f {
    return fma(vec4f(a.w), w3, fma(vec4f(a.z), w2, fma(vec4f(a.y), w1, fma(vec4f(a.x), w0, sum))));
}

fn end_sums(sums: ptr<function, Sums>, job: Job, at: At, block: u32, part: u32, first: u32) {
    let share = at.lane / THREADS;
    for (var s = 1u; s < SPLIT_K; s++) {
        add_share(sums, m_of(at) * TILE_N4 + n4_of(at), share, s);
    }
    if share > 0u {
        return;
    }
    let pixel = first + m_of(at);
    let o4 = block * TILE_N4 + n4_of(at);
    store_sum(job, part, pixel, o4, (*sums).sum0);
    store_sum(job, part, pixel, o4 + THREADS_N, (*sums).sum1);
    store_sum(job, part, pixel + 1u, o4, (*sums).sum2);
    store_sum(job, part, pixel + 1u, o4 + THREADS_N, (*sums).sum3);
    store_sum(job, part, pixel + 2u, o4, (*sums).sum4);
    store_sum(job, part, pixel + 2u, o4 + THREADS_N, (*sums).sum5);
    store_sum(job, part, pixel + 3u, o4, (*sums).sum6);
    store_sum(job, part, pixel + 3u, o4 + THREADS_N, (*sums).sum7);
    store_sum(job, part, pixel + 4u, o4, (*sums).sum8);
    store_sum(job, part, pixel + 4u, o4 + THREADS_N, (*sums).sum9);
    store_sum(job, part, pixel + 5u, o4, (*sums).sum10);
    store_sum(job, part, pixel + 5u, o4 + THREADS_N, (*sums).sum11);
    store_sum(job, part, pixel + 6u, o4, (*sums).sum12);
    store_sum(job, part, pixel + 6u, o4 + THREADS_N, (*sums).sum13);
    store_sum(job, part, pixel + 7u, o4, (*sums).sum14);
    store_sum(job, part, pixel + 7u, o4 + THREADS_N, (*sums).sum15);
}

// Share 0 adds share s to its own, through the tile that is no longer needed.
fn add_share(sums: ptr<function, Sums>, to: u32, share: u32, s: u32) {
    if share == s {
        tile_w[to] = (*sums).sum0;
        tile_w[to + THREADS_N] = (*sums).sum1;
        tile_w[to + TILE_N4] = (*sums).sum2;
        tile_w[to + TILE_N4 + THREADS_N] = (*sums).sum3;
        tile_w[to + 2u * TILE_N4] = (*sums).sum4;
        tile_w[to + 2u * TILE_N4 + THREADS_N] = (*sums).sum5;
        tile_w[to + 3u * TILE_N4] = (*sums).sum6;
        tile_w[to + 3u * TILE_N4 + THREADS_N] = (*sums).sum7;
        tile_w[to + 4u * TILE_N4] = (*sums).sum8;
        tile_w[to + 4u * TILE_N4 + THREADS_N] = (*sums).sum9;
        tile_w[to + 5u * TILE_N4] = (*sums).sum10;
        tile_w[to + 5u * TILE_N4 + THREADS_N] = (*sums).sum11;
        tile_w[to + 6u * TILE_N4] = (*sums).sum12;
        tile_w[to + 6u * TILE_N4 + THREADS_N] = (*sums).sum13;
        tile_w[to + 7u * TILE_N4] = (*sums).sum14;
        tile_w[to + 7u * TILE_N4 + THREADS_N] = (*sums).sum15;
    }
    workgroupBarrier();
    if share == 0u {
        (*sums).sum0 += tile_w[to];
        (*sums).sum1 += tile_w[to + THREADS_N];
        (*sums).sum2 += tile_w[to + TILE_N4];
        (*sums).sum3 += tile_w[to + TILE_N4 + THREADS_N];
        (*sums).sum4 += tile_w[to + 2u * TILE_N4];
        (*sums).sum5 += tile_w[to + 2u * TILE_N4 + THREADS_N];
        (*sums).sum6 += tile_w[to + 3u * TILE_N4];
        (*sums).sum7 += tile_w[to + 3u * TILE_N4 + THREADS_N];
        (*sums).sum8 += tile_w[to + 4u * TILE_N4];
        (*sums).sum9 += tile_w[to + 4u * TILE_N4 + THREADS_N];
        (*sums).sum10 += tile_w[to + 5u * TILE_N4];
        (*sums).sum11 += tile_w[to + 5u * TILE_N4 + THREADS_N];
        (*sums).sum12 += tile_w[to + 6u * TILE_N4];
        (*sums).sum13 += tile_w[to + 6u * TILE_N4 + THREADS_N];
        (*sums).sum14 += tile_w[to + 7u * TILE_N4];
        (*sums).sum15 += tile_w[to + 7u * TILE_N4 + THREADS_N];
    }
    workgroupBarrier();
}
