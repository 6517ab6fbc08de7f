// Convolutions as implicit matrix products in workgroup memory, NHWC, each a sum of terms t:
//   y[n,oy,ox,o] = act(bias[o] + Σ x_t[n,iy,ix,i] * w_t[ky,kx,i,o] + residual)
// A workgroup makes TILE_M pixels times TILE_N output channels, an invocation THREAD_M pixels times THREAD_N4 vec4s of
// channels; the sum runs over terms, taps and, in steps of TILE_K, over input channels. With SPLIT_K > 1, that many
// invocations share an output, each with its share of every step, for maps of too few outputs to fill a GPU. A job of
// several parts has that many workgroups share it, each with some of the input channels. They leave parts
// y[part,n,oy,ox,o], the first with the bias, for their reader to add up.
// Dispatch: for each job, ceil(out_c / TILE_N) * parts * ceil(pixels / TILE_M), pixels fastest.
// Weights: [term][block][ky][kx][in chunk][TILE_K][TILE_N4].
// Pieces from shared/: index, jobs, place, activation, lanes;
//   one of epilogue_plain, epilogue_residual, epilogue_last, epilogue_image, epilogue_resized;
//   one of sources_1, sources_2, sources_3;
//   one of targets_1, targets_2, targets_3;
//   one of made_stored, made_sums; one of stored_f32, stored_f16, stored_packed with rounding.
// Constants from Rust: TILE_M, TILE_N, TILE_K, THREAD_M, THREAD_N4, SPLIT_K; JOBS, TERMS, ROUNDS.

alias Read = Stored;

const TILE_N4: u32 = TILE_N / 4u;
const TILE_K4: u32 = TILE_K / 4u;
const THREADS_N: u32 = TILE_N4 / THREAD_N4;
const THREADS: u32 = TILE_M / THREAD_M * THREADS_N; // that share nothing but the tiles
const WG_SIZE: u32 = THREADS * SPLIT_K;
const SHARE_K4: u32 = TILE_K4 / SPLIT_K;
const LANES_X: u32 = WG_SIZE / TILE_M; // that load one pixel, so that each keeps track of only one
const LOADS_X: u32 = TILE_K4 / LANES_X;
const LOADS_W: u32 = TILE_K * TILE_N4 / WG_SIZE;

var<workgroup> tile_x: array<vec4f, TILE_M * TILE_K4>; // [pixel][k4]
var<workgroup> tile_w: array<vec4f, TILE_K * TILE_N4>; // [k][n4]; in the end [pixel][n4], to add up shares

var<private> sum: array<vec4f, THREAD_M * THREAD_N4>; // [pixel][n4]

@compute @workgroup_size(WG_SIZE)
fn conv(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let found = job_of(workgroup_index(workgroup, workgroups));
    if found.x == JOBS {
        return;
    }
    let job = params.jobs[found.x];
    let tiles = (job.pixels + TILE_M - 1u) / TILE_M;
    let parts = job.workgroups / (tiles * ((job.out_c + TILE_N - 1u) / TILE_N));
    let block = found.y / tiles / parts;
    let part = found.y / tiles % parts;
    let first = found.y % tiles * TILE_M;
    let begin = place(job, first);
    let end = place(job, first + TILE_M - 1u);
    // Channels of an invocation are THREADS_N vec4s apart, so that neighbours read and write side by side.
    let n4 = lane % THREADS_N;
    let m0 = lane / THREADS_N % (TILE_M / THREAD_M) * THREAD_M;
    let share = lane / THREADS;
    let o4 = block * TILE_N4 + n4;

    begin_sums(job, o4, share == 0u && part == 0u);
    for (var t = job.term_begin; t < job.term_end; t++) {
        let term = params.terms[t];
        let window = window_of(job, term, first + lane / LANES_X);
        let chunks = (term.group_in_c / 4u + TILE_K4 - 1u) / TILE_K4;
        let chunks_begin = part * chunks / parts;
        let chunks_end = (part + 1u) * chunks / parts;
        var w = term.weights + block * term.kernel_h * term.kernel_w * chunks * TILE_K * TILE_N4;
        for (var ky = 0u; ky < term.kernel_h; ky++) {
            for (var kx = 0u; kx < term.kernel_w; kx++) {
                if reaches(job, term, begin, end, ky, kx) {
                    let tap = tap_of(term, window, ky, kx, lane % LANES_X);
                    for (var chunk = chunks_begin; chunk < chunks_end; chunk++) {
                        load_tile_x(term, tap, chunk * TILE_K4, lane);
                        load_tile_w(w + chunk * TILE_K * TILE_N4, lane);
                        workgroupBarrier();
                        multiply(m0, n4, share * SHARE_K4);
                        workgroupBarrier();
                    }
                }
                w += chunks * TILE_K * TILE_N4;
            }
        }
    }
    for (var s = 1u; s < SPLIT_K; s++) {
        add_share(m0, n4, share, s);
    }
    if share > 0u {
        return;
    }
    store_sums(job, part, first + m0, o4);
}

fn begin_sums(job: Job, o4: u32, with_bias: bool) {
    for (var i = 0u; i < THREAD_M * THREAD_N4; i++) {
        sum[i] = select(vec4f(0.0), bias[job.bias + o4 + i % THREAD_N4 * THREADS_N], with_bias);
    }
}

fn store_sums(job: Job, part: u32, first_pixel: u32, o4: u32) {
    for (var i = 0u; i < THREAD_M * THREAD_N4; i++) {
        let pixel = first_pixel + i / THREAD_N4;
        let c4 = o4 + i % THREAD_N4 * THREADS_N;
        if pixel < job.pixels && c4 * 4u < job.out_c {
            let to = job.y_offset + (part * job.pixels + pixel) * job.y_stride + c4;
            store_y(job.y_slot, to, epilogue(job, sum[i], pixel, c4));
        }
    }
}

// Share 0 adds share s to its own, through the tile that is no longer needed.
fn add_share(m0: u32, n4: u32, share: u32, s: u32) {
    if share == s {
        for (var i = 0u; i < THREAD_M * THREAD_N4; i++) {
            tile_w[(m0 + i / THREAD_N4) * TILE_N4 + n4 + i % THREAD_N4 * THREADS_N] = sum[i];
        }
    }
    workgroupBarrier();
    if share == 0u {
        for (var i = 0u; i < THREAD_M * THREAD_N4; i++) {
            sum[i] += tile_w[(m0 + i / THREAD_N4) * TILE_N4 + n4 + i % THREAD_N4 * THREADS_N];
        }
    }
    workgroupBarrier();
}

// Where the window of the output pixel lies whose input this invocation loads. Wraps in the padding.
struct Window {
    first: u32, // vec4 of x
    top: u32,
    left: u32,
}

// Divides once per term, before the loop over taps.
fn window_of(job: Job, term: Term, pixel: u32) -> Window {
    let p = place(job, pixel);
    let top = p.oy * term.stride_h - term.pad_top;
    let left = p.ox * term.stride_w - term.pad_left;
    return Window(term.x_offset + ((p.n * term.in_h + top) * term.in_w + left) * term.x_stride, top, left);
}

// The part of one tap that an invocation loads.
struct Tap {
    first: u32, // vec4 of x
    rest: i32, // vec4s to the end of the channels; none in the padding
}

fn tap_of(term: Term, window: Window, ky: u32, kx: u32, k4: u32) -> Tap {
    let y = ky * term.dilation_h;
    let x = kx * term.dilation_w;
    let inside = (window.top + y < term.in_h) & (window.left + x < term.in_w);
    let rest = i32(term.group_in_c / 4u) - i32(k4);
    return Tap(window.first + (y * term.in_w + x) * term.x_stride + k4, select(0, rest, inside));
}

// Without branches: what is not there is read at the slice's first vec4 and left out.
fn load_tile_x(term: Term, tap: Tap, c4: u32, lane: u32) {
    for (var l = 0u; l < LOADS_X; l++) {
        let k4 = l * LANES_X;
        let there = i32(c4 + k4) < tap.rest;
        let value = loaded(load_x(term.x_slot, select(term.x_offset, tap.first + c4 + k4, there)));
        tile_x[lane / LANES_X * TILE_K4 + lane % LANES_X + k4] = select(vec4f(0.0), value, there);
    }
}

fn load_tile_w(w: u32, lane: u32) {
    for (var l = 0u; l < LOADS_W; l++) {
        tile_w[lane + l * WG_SIZE] = loaded(weights[w + lane + l * WG_SIZE]);
    }
}

// One share of a step: SHARE_K4 vec4s from first_k4 on. Counted from zero, or NVIDIA's compiler in Mesa keeps the loop;
// pixel by pixel, so that Intel's and Apple's need no more registers than there are; what is needed first is loaded
// last, so that AMD's waits once for all.
fn multiply(m0: u32, n4: u32, first_k4: u32) {
    for (var s = 0u; s < SHARE_K4; s++) {
        let k4 = first_k4 + s;
        for (var i = 0u; i < THREAD_M * THREAD_N4; i++) {
            let w = k4 * 4u * TILE_N4 + n4 + i % THREAD_N4 * THREADS_N;
            let w3 = tile_w[w + 3u * TILE_N4];
            let w2 = tile_w[w + 2u * TILE_N4];
            let w1 = tile_w[w + TILE_N4];
            let w0 = tile_w[w];
            let a = tile_x[(m0 + i / THREAD_N4) * TILE_K4 + k4];
            sum[i] = fma(vec4f(a.w), w3, fma(vec4f(a.z), w2, fma(vec4f(a.y), w1, fma(vec4f(a.x), w0, sum[i]))));
        }
    }
}
