// Convolutions whose lanes hand each other x, each a sum of terms t:
//   y[n,oy,ox,o] = act(bias[o] + Σ x_t[n,iy,ix,i] * w_t[ky,kx,i,o] + residual)
// One invocation makes four output channels of ROWS * LANES pixels. A workgroup is one subgroup, its lanes along output
// channels: each reads the weights of its own channels, but x of only ROWS pixels, and hands them to the others, since
// software adapters broadcast far faster than they load.
// Dispatch: for each job, blocks of LANES * 4 output channels times ceil(pixels / (ROWS * LANES)), pixels fastest.
// Weights: [term][block][ky][kx][in channel][lane].
// Pieces from shared/: index, jobs, place, activation, lanes; one of row_4, row_8;
//   one of epilogue_plain, epilogue_residual, epilogue_last, epilogue_image, epilogue_resized;
//   one of sources_1, sources_2, sources_3;
//   one of targets_1, targets_2, targets_3.
// Constants from Rust: LANES, ROWS, PADDED; JOBS, TERMS, ROUNDS.

@compute @workgroup_size(LANES)
fn conv_subgroup(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let found = job_of(workgroup_index(workgroup, workgroups));
    if found.x == JOBS {
        return;
    }
    let job = params.jobs[found.x];
    let tiles = (job.pixels + ROWS * LANES - 1u) / (ROWS * LANES);
    let block = found.y / tiles;
    let o4 = block * LANES + lane;
    let first = found.y % tiles * ROWS * LANES;
    let p0 = place(job, first + lane);
    let p1 = place(job, first + LANES + lane);
    let p2 = place(job, first + 2u * LANES + lane);
    let p3 = place(job, first + 3u * LANES + lane);
    let begin = place(job, first);
    let end = place(job, first + ROWS * LANES - 1u);

    var sums0 = spread(bias[job.bias + o4]);
    var sums1 = sums0;
    var sums2 = sums0;
    var sums3 = sums0;
    for (var t = job.term_begin; t < job.term_end; t++) {
        let term = params.terms[t];
        let skip = term.group_in_c * LANES;
        var w = term.weights + block * term.kernel_h * term.kernel_w * skip + lane;
        for (var ky = 0u; ky < term.kernel_h; ky++) {
            for (var kx = 0u; kx < term.kernel_w; kx++) {
                let tap0 = tap(term, p0, ky, kx);
                let tap1 = tap(term, p1, ky, kx);
                let tap2 = tap(term, p2, ky, kx);
                let tap3 = tap(term, p3, ky, kx);
                if PADDED && !reaches(job, term, begin, end, ky, kx) {
                    w += skip;
                    continue;
                }
                for (var i4 = 0u; i4 < term.group_in_c / 4u; i4++) {
                    let w0 = weights[w];
                    let w1 = weights[w + LANES];
                    let w2 = weights[w + 2u * LANES];
                    let w3 = weights[w + 3u * LANES];
                    w += 4u * LANES;
                    sums0 = add_outer(sums0, load(term.x_slot, tap0, i4), w0, w1, w2, w3);
                    if ROWS > 1u {
                        sums1 = add_outer(sums1, load(term.x_slot, tap1, i4), w0, w1, w2, w3);
                    }
                    if ROWS > 2u {
                        sums2 = add_outer(sums2, load(term.x_slot, tap2, i4), w0, w1, w2, w3);
                    }
                    if ROWS > 3u {
                        sums3 = add_outer(sums3, load(term.x_slot, tap3, i4), w0, w1, w2, w3);
                    }
                }
            }
        }
    }
    // Subgroup operations need every lane: those beyond the last channel leave only here.
    if o4 * 4u >= job.out_c {
        return;
    }
    store_row(job, first, o4, sums0);
    if ROWS > 1u {
        store_row(job, first + LANES, o4, sums1);
    }
    if ROWS > 2u {
        store_row(job, first + 2u * LANES, o4, sums2);
    }
    if ROWS > 3u {
        store_row(job, first + 3u * LANES, o4, sums3);
    }
}

// One tap of a pixel: whether it lies inside the image, and its address, or one that exists.
struct Tap {
    at: u32,
    inside: bool,
}

fn tap(term: Term, p: Place, ky: u32, kx: u32) -> Tap {
    let iy = i32(p.oy * term.stride_h + ky * term.dilation_h) - i32(term.pad_top);
    let ix = i32(p.ox * term.stride_w + kx * term.dilation_w) - i32(term.pad_left);
    let inside = iy >= 0 && iy < i32(term.in_h) && ix >= 0 && ix < i32(term.in_w);
    let at = ((p.n * term.in_h + u32(iy)) * term.in_w + u32(ix)) * term.x_stride;
    return Tap(term.x_offset + select(0u, at, inside), inside);
}

// Taps in the padding are zero by choice, not by multiplication: the value at the stand-in address may be infinite.
fn load(slot: u32, tap: Tap, i4: u32) -> vec4f {
    let x = load_x(slot, tap.at + i4);
    if PADDED {
        return select(vec4f(0.0), x, tap.inside);
    }
    return x;
}

fn dot4(a: vec4f, w0: vec4f, w1: vec4f, w2: vec4f, w3: vec4f, sum: vec4f) -> vec4f {
    return fma(vec4f(a.w), w3, fma(vec4f(a.z), w2, fma(vec4f(a.y), w1, fma(vec4f(a.x), w0, sum))));
}

fn store(job: Job, pixel: u32, o4: u32, sum: vec4f) {
    if pixel < job.pixels {
        store_y(job.y_slot, job.y_offset + pixel * job.y_stride + o4, epilogue(job, sum, pixel, o4));
    }
}
