// Convolutions as implicit matrix products in workgroup memory, NHWC, each a sum of terms t:
//   y[n,oy,ox,o] = act(bias[o] + Σ x_t[n,iy,ix,i] * w_t[ky,kx,i,o] + residual)
// A workgroup makes TILE_M pixels times TILE_N output channels; the sum runs over terms, taps and, in steps of TILE_K,
// over input channels. How a workgroup's tile is multiplied and summed up is a piece: by invocations in registers, or
// by subgroups in cooperative matrices. With SPLIT_K > 1, so many share an output, each with its share of every step,
// for maps of too few outputs to fill a GPU. A job of several parts has that many workgroups share it, each with some
// of the input channels. They leave parts y[part,n,oy,ox,o], the first with the bias, for their reader to add up.
// Dispatch: for each job, ceil(out_c / TILE_N) * parts * ceil(pixels / TILE_M), pixels fastest.
// Weights: [term][block][ky][kx][in chunk], then as the piece has it.
// Pieces from shared/: index, jobs, place, activation, lanes;
//   one of sums_8, sums_16, sums_matrices;
//   with sums_matrices: one of grid_2x2, grid_4x4; with sums_matrices: one of tiles_vec4, tiles_scalar;
//   with sums_matrices: one of matrices_8, matrices_16; with sums_matrices: one of factor_f16, factor_f32;
//   one of functions_few, functions_all;
//   one of epilogue_plain, epilogue_residual, epilogue_last, epilogue_image, epilogue_resized;
//   with epilogue_residual: one of residual_stored, residual_sums; with epilogue_last: one of residual_stored,
//   residual_sums; with epilogue_image: residual_stored; with epilogue_resized: residual_stored;
//   one of sources_1, sources_2, sources_3;
//   one of targets_1, targets_2, targets_3;
//   one of made_stored, made_sums; one of stored_f32, stored_f16, stored_packed; with stored_packed: rounding.
// Constants from Rust: TILE_M, TILE_N, TILE_K, SPLIT_K, ONE_PIXEL; JOBS, TERMS, ROUNDS; with sums_matrices: WG_SIZE,
//   SIZE.

alias Read = Stored;

const TILE_N4: u32 = TILE_N / 4u;
const TILE_K4: u32 = TILE_K / 4u;
const LOADS_X: u32 = TILE_M * TILE_K4 / WG_SIZE; // of an invocation: 1, 2, 4 or 8, as LOADS_W
const LOADS_W: u32 = TILE_K * TILE_N4 / WG_SIZE;
const NOWHERE = 0xffffffffu;

const_assert WG_SIZE % TILE_K4 == 0u; // so that a load is of whole rows

var<workgroup> taps: array<u32, TILE_M>; // where x has each pixel's tap, or NOWHERE in the padding

@compute @workgroup_size(WG_SIZE)
fn conv(at: At) {
    let found = job_of(workgroup_index(at.workgroup, at.workgroups));
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

    var sums: Sums;
    begin_sums(&sums, job, at, block, part);
    for (var t = job.term_begin; t < job.term_end; t++) {
        let term = params.terms[t];
        let window = window_of(job, term, first + at.lane);
        let chunks = (term.group_in_c / 4u + TILE_K4 - 1u) / TILE_K4;
        let chunks_begin = part * chunks / parts;
        let chunks_end = (part + 1u) * chunks / parts;
        var w = term.weights + block * term.kernel_h * term.kernel_w * chunks * TILE_K * TILE_N4;
        for (var ky = 0u; ky < term.kernel_h; ky++) {
            for (var kx = 0u; kx < term.kernel_w; kx++) {
                if reaches(job, term, begin, end, ky, kx) {
                    if at.lane < TILE_M {
                        taps[at.lane] = tap_of(term, window, ky, kx);
                    }
                    workgroupBarrier();
                    for (var chunk = chunks_begin; chunk < chunks_end; chunk++) {
                        load_tiles(term, chunk * TILE_K4, w + chunk * TILE_K * TILE_N4, at.lane);
                        workgroupBarrier();
                        multiply(&sums, at);
                        workgroupBarrier();
                    }
                }
                w += chunks * TILE_K * TILE_N4;
            }
        }
    }
    end_sums(&sums, job, at, block, part, first);
}

// A sum of TILE_M pixels and TILE_N channels, in a job's result.
fn store_sum(job: Job, part: u32, pixel: u32, o4: u32, sum: vec4f) {
    if pixel < job.pixels && o4 * 4u < job.out_c {
        let to = job.y_offset + (part * job.pixels + pixel) * job.y_stride + o4;
        store_y(job.y_slot, to, epilogue(job, sum, pixel, o4));
    }
}

// Where the window of an output pixel lies. Wraps in the padding.
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

fn tap_of(term: Term, window: Window, ky: u32, kx: u32) -> u32 {
    let y = ky * term.dilation_h;
    let x = kx * term.dilation_w;
    let inside = (window.top + y < term.in_h) & (window.left + x < term.in_w);
    return select(NOWHERE, window.first + (y * term.in_w + x) * term.x_stride, inside);
}

// Row and column of a tile, in vec4s, that an invocation fills with this load, where neighbours load side by side. Told
// so, compilers see that the column and what it decides are the same for all loads.
fn beside(lane: u32, load: u32) -> vec2u {
    return vec2u(lane / TILE_K4 + load * (WG_SIZE / TILE_K4), lane % TILE_K4);
}

// Of the tile of x: side by side, unless there are so many sums that an invocation has no registers left for more than
// ONE_PIXEL.
fn cell(lane: u32, load: u32) -> vec2u {
    return select(beside(lane, load), vec2u(lane, load), ONE_PIXEL);
}

// All loads come before the first store, in variables by name, so that an invocation waits for memory once.
fn load_tiles(term: Term, c4: u32, w: u32, lane: u32) {
    let x0 = fetch_x(term, c4, lane, 0u);
    var x1 = x0;
    var x2 = x0;
    var x3 = x0;
    var x4 = x0;
    var x5 = x0;
    var x6 = x0;
    var x7 = x0;
    if LOADS_X > 1u {
        x1 = fetch_x(term, c4, lane, 1u);
    }
    if LOADS_X > 2u {
        x2 = fetch_x(term, c4, lane, 2u);
        x3 = fetch_x(term, c4, lane, 3u);
    }
    if LOADS_X > 4u {
        x4 = fetch_x(term, c4, lane, 4u);
        x5 = fetch_x(term, c4, lane, 5u);
        x6 = fetch_x(term, c4, lane, 6u);
        x7 = fetch_x(term, c4, lane, 7u);
    }
    let w0 = weights[w + lane];
    var w1 = w0;
    var w2 = w0;
    var w3 = w0;
    var w4 = w0;
    var w5 = w0;
    var w6 = w0;
    var w7 = w0;
    if LOADS_W > 1u {
        w1 = weights[w + lane + WG_SIZE];
    }
    if LOADS_W > 2u {
        w2 = weights[w + lane + 2u * WG_SIZE];
        w3 = weights[w + lane + 3u * WG_SIZE];
    }
    if LOADS_W > 4u {
        w4 = weights[w + lane + 4u * WG_SIZE];
        w5 = weights[w + lane + 5u * WG_SIZE];
        w6 = weights[w + lane + 6u * WG_SIZE];
        w7 = weights[w + lane + 7u * WG_SIZE];
    }
    put_x(lane, 0u, x0);
    if LOADS_X > 1u {
        put_x(lane, 1u, x1);
    }
    if LOADS_X > 2u {
        put_x(lane, 2u, x2);
        put_x(lane, 3u, x3);
    }
    if LOADS_X > 4u {
        put_x(lane, 4u, x4);
        put_x(lane, 5u, x5);
        put_x(lane, 6u, x6);
        put_x(lane, 7u, x7);
    }
    put_w(lane, 0u, w0);
    if LOADS_W > 1u {
        put_w(lane, 1u, w1);
    }
    if LOADS_W > 2u {
        put_w(lane, 2u, w2);
        put_w(lane, 3u, w3);
    }
    if LOADS_W > 4u {
        put_w(lane, 4u, w4);
        put_w(lane, 5u, w5);
        put_w(lane, 6u, w6);
        put_w(lane, 7u, w7);
    }
}

// Four channels of a pixel, and whether they are there.
struct Fetched {
    value: Read,
    there: bool,
}

// Without branches: what is not there is read at the slice's first vec4 and left out.
fn fetch_x(term: Term, c4: u32, lane: u32, load: u32) -> Fetched {
    let at = cell(lane, load);
    let tap = taps[at.x];
    let k4 = c4 + at.y;
    let there = (tap != NOWHERE) & (k4 < term.group_in_c / 4u);
    return Fetched(load_x(term.x_slot, select(term.x_offset, tap + k4, there)), there);
}
