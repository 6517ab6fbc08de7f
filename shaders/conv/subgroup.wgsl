// Convolutions whose lanes hand each other x, each a sum of terms t:
//   y[n,oy,ox,o] = act(bias[o] + Σ x_t[n,iy,ix,i] * w_t[ky,kx,i,o] + residual)
// One invocation makes four output channels of ROWS * LANES pixels. A workgroup is one subgroup, its lanes along output
// channels: each reads the weights of its own channels, but x of only ROWS pixels, and hands them to the others, since
// software adapters broadcast far faster than they load.
// Dispatch: for each job, blocks of LANES * 4 output channels times ceil(pixels / (ROWS * LANES)), pixels fastest.
// Weights: [term][block][ky][kx][in channel / READ4][lane][READ4].
// Pieces from shared/: index, jobs, place, activation, lanes; one of row_4, row_8; one of reads_4, reads_8,
//   reads_8_f16;
//   one of functions_few, functions_all;
//   one of epilogue_plain, epilogue_residual, epilogue_last, epilogue_image, epilogue_resized;
//   with epilogue_residual: one of residual_stored, residual_sums; with epilogue_last: one of residual_stored,
//   residual_sums; with epilogue_image: residual_stored; with epilogue_resized: residual_stored;
//   one of sources_1, sources_2, sources_3;
//   one of targets_1, targets_2, targets_3;
//   one of made_stored, made_sums; one of stored_f32, stored_f16, stored_packed; with stored_packed: rounding.
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

    let row = spread(bias[job.bias + o4]);
    var sums = Sums(row, row, row, row);
    for (var t = job.term_begin; t < job.term_end; t++) {
        let term = params.terms[t];
        let skip = term.group_in_c * LANES / READ4;
        var w = term.weights / READ4 + block * term.kernel_h * term.kernel_w * skip + lane;
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
                for (var i = 0u; i < term.group_in_c / (READ4 * 4u); i++) {
                    let x0 = load(term.x_slot, tap0, i);
                    var x1 = x0;
                    var x2 = x0;
                    var x3 = x0;
                    if ROWS > 1u {
                        x1 = load(term.x_slot, tap1, i);
                    }
                    if ROWS > 2u {
                        x2 = load(term.x_slot, tap2, i);
                    }
                    if ROWS > 3u {
                        x3 = load(term.x_slot, tap3, i);
                    }
                    sums = add(sums, x0.low, x1.low, x2.low, x3.low, weights_at(w));
                    w += LANES * 4u / READ4;
                    if READ4 == 2u {
                        sums = add(sums, x0.high, x1.high, x2.high, x3.high, weights_at(w));
                        w += LANES * 4u / READ4;
                    }
                }
            }
        }
    }
    // Subgroup operations need every lane: those beyond the last channel leave only here.
    if o4 * 4u >= job.out_c {
        return;
    }
    store_row(job, first, o4, sums.row0);
    if ROWS > 1u {
        store_row(job, first + LANES, o4, sums.row1);
    }
    if ROWS > 2u {
        store_row(job, first + 2u * LANES, o4, sums.row2);
    }
    if ROWS > 3u {
        store_row(job, first + 3u * LANES, o4, sums.row3);
    }
}

// Of all pixels of an invocation.
struct Sums {
    row0: Row,
    row1: Row,
    row2: Row,
    row3: Row,
}

// What one read of a pixel brings: four channels, and four more if it is a wide one.
struct Channels {
    low: vec4f,
    high: vec4f,
}

// From four input channels to this lane's four output channels.
struct Weights {
    w0: vec4f,
    w1: vec4f,
    w2: vec4f,
    w3: vec4f,
}

// Four input channels of each row's pixels times their weights.
fn add(sums: Sums, x0: vec4f, x1: vec4f, x2: vec4f, x3: vec4f, w: Weights) -> Sums {
    var added = sums;
    added.row0 = add_outer(sums.row0, x0, w);
    if ROWS > 1u {
        added.row1 = add_outer(sums.row1, x1, w);
    }
    if ROWS > 2u {
        added.row2 = add_outer(sums.row2, x2, w);
    }
    if ROWS > 3u {
        added.row3 = add_outer(sums.row3, x3, w);
    }
    return added;
}

// One tap of a pixel: whether it lies inside the image, and its address in reads, or one that exists.
struct Tap {
    at: u32,
    inside: bool,
}

fn tap(term: Term, p: Place, ky: u32, kx: u32) -> Tap {
    let iy = i32(p.oy * term.stride_h + ky * term.dilation_h) - i32(term.pad_top);
    let ix = i32(p.ox * term.stride_w + kx * term.dilation_w) - i32(term.pad_left);
    let inside = iy >= 0 && iy < i32(term.in_h) && ix >= 0 && ix < i32(term.in_w);
    let at = ((p.n * term.in_h + u32(iy)) * term.in_w + u32(ix)) * term.x_stride;
    return Tap((term.x_offset + select(0u, at, inside)) / READ4, inside);
}

// Taps in the padding are zero by choice, not by multiplication: the value at the stand-in address may be infinite.
fn load(slot: u32, tap: Tap, i: u32) -> Channels {
    let read = load_x(slot, tap.at + i);
    let x = Channels(low(read), high(read));
    if PADDED {
        return Channels(select(vec4f(0.0), x.low, tap.inside), select(vec4f(0.0), x.high, tap.inside));
    }
    return x;
}

fn dot4(a: vec4f, w: Weights, sum: vec4f) -> vec4f {
    return fma(vec4f(a.w), w.w3, fma(vec4f(a.z), w.w2, fma(vec4f(a.y), w.w1, fma(vec4f(a.x), w.w0, sum))));
}

fn store(job: Job, pixel: u32, o4: u32, sum: vec4f) {
    if pixel < job.pixels {
        store_y(job.y_slot, job.y_offset + pixel * job.y_stride + o4, epilogue(job, sum, pixel, o4));
    }
}
