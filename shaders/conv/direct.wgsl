// Convolutions without workgroup memory, NHWC, each a sum of terms t:
//   y[n,oy,ox,o] = act(bias[o] + Σ x_t[n,iy,ix,i] * w_t[ky,kx,i,o] + residual)
// One invocation makes four output channels of eight pixels. LANES of a workgroup lie along output channels, so that
// they read x at one address, and w side by side; PLACES of these lie along pixels.
// Dispatch: for each job, blocks of LANES * 4 output channels times ceil(pixels / (8 * PLACES)), pixels fastest.
// Weights: [term][block][ky][kx][in channel][lane].
// Pieces from shared/: index, jobs, window, activation, lanes;
//   one of functions_few, functions_all;
//   one of epilogue_plain, epilogue_residual, epilogue_last, epilogue_image, epilogue_resized;
//   with epilogue_residual: one of residual_stored, residual_sums; with epilogue_last: one of residual_stored,
//   residual_sums; with epilogue_image: residual_stored; with epilogue_resized: residual_stored;
//   one of sources_1, sources_2, sources_3;
//   one of targets_1, targets_2, targets_3;
//   one of made_stored, made_sums; one of stored_f32, stored_f16, stored_packed; with stored_packed: rounding.
// Constants from Rust: LANES, PLACES, PADDED; JOBS, TERMS, ROUNDS.

alias Read = Stored;

@compute @workgroup_size(LANES * PLACES)
fn conv_direct(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) invocation: u32,
) {
    let found = job_of(workgroup_index(workgroup, workgroups));
    if found.x == JOBS {
        return;
    }
    let job = params.jobs[found.x];
    let lane = invocation % LANES;
    let tiles = (job.pixels + 8u * PLACES - 1u) / (8u * PLACES);
    let block = found.y / tiles;
    let o4 = block * LANES + lane;
    if o4 * 4u >= job.out_c {
        return;
    }
    // A lane of these vectors is one of eight pixels, in two fours; the last tile repeats the last pixel.
    let first = (found.y % tiles * PLACES + invocation / LANES) * 8u;
    let a = place(job, first);
    let b = place(job, first + 4u);

    var a0 = bias[job.bias + o4];
    var a1 = a0;
    var a2 = a0;
    var a3 = a0;
    var b0 = a0;
    var b1 = a0;
    var b2 = a0;
    var b3 = a0;
    for (var t = job.term_begin; t < job.term_end; t++) {
        let term = params.terms[t];
        let in_c4 = term.group_in_c / 4u;
        let channel = term.x_offset + o4 * 4u / term.group_out_c * in_c4;
        let skip = term.group_in_c * LANES;
        var w = term.weights + block * term.kernel_h * term.kernel_w * skip + lane;
        for (var ky = 0u; ky < term.kernel_h; ky++) {
            for (var kx = 0u; kx < term.kernel_w; kx++) {
                let ta = taps(term, a, ky, kx, channel);
                let tb = taps(term, b, ky, kx, channel);
                if PADDED && all((ta & tb) == vec4u(NOWHERE)) {
                    w += skip;
                    continue;
                }
                for (var i4 = 0u; i4 < in_c4; i4++) {
                    let w0 = loaded(weights[w]);
                    let w1 = loaded(weights[w + LANES]);
                    let w2 = loaded(weights[w + 2u * LANES]);
                    let w3 = loaded(weights[w + 3u * LANES]);
                    w += 4u * LANES;
                    a0 = dot4(load(term.x_slot, ta.x, i4), w0, w1, w2, w3, a0);
                    a1 = dot4(load(term.x_slot, ta.y, i4), w0, w1, w2, w3, a1);
                    a2 = dot4(load(term.x_slot, ta.z, i4), w0, w1, w2, w3, a2);
                    a3 = dot4(load(term.x_slot, ta.w, i4), w0, w1, w2, w3, a3);
                    b0 = dot4(load(term.x_slot, tb.x, i4), w0, w1, w2, w3, b0);
                    b1 = dot4(load(term.x_slot, tb.y, i4), w0, w1, w2, w3, b1);
                    b2 = dot4(load(term.x_slot, tb.z, i4), w0, w1, w2, w3, b2);
                    b3 = dot4(load(term.x_slot, tb.w, i4), w0, w1, w2, w3, b3);
                }
            }
        }
    }
    store(job, first, o4, a0);
    store(job, first + 1u, o4, a1);
    store(job, first + 2u, o4, a2);
    store(job, first + 3u, o4, a3);
    store(job, first + 4u, o4, b0);
    store(job, first + 5u, o4, b1);
    store(job, first + 6u, o4, b2);
    store(job, first + 7u, o4, b3);
}

// Four output pixels: image, row, column.
struct Place {
    n: vec4u,
    oy: vec4u,
    ox: vec4u,
}

fn place(job: Job, first: u32) -> Place {
    let pixel = min(vec4u(first) + vec4u(0u, 1u, 2u, 3u), vec4u(job.pixels - 1u));
    let row = pixel / job.out_w;
    return Place(row / job.out_h, row % job.out_h, pixel % job.out_w);
}

// One tap of four pixels: its address, or none outside the image. To keep which there are besides would take more
// registers than compilers for Apple's GPUs have.
const NOWHERE = 0xffffffffu;

fn taps(term: Term, p: Place, ky: u32, kx: u32, channel: u32) -> vec4u {
    let iy = vec4i(p.oy * term.stride_h + ky * term.dilation_h) - i32(term.pad_top);
    let ix = vec4i(p.ox * term.stride_w + kx * term.dilation_w) - i32(term.pad_left);
    let inside = inside_image(iy, ix, term.in_h, term.in_w);
    let at = ((p.n * term.in_h + vec4u(iy)) * term.in_w + vec4u(ix)) * term.x_stride + channel;
    return select(vec4u(NOWHERE), at, inside);
}

// Taps in the padding are zero by choice, not by multiplication: the first value, read in their place, may be infinite.
fn load(slot: u32, at: u32, i4: u32) -> vec4f {
    if PADDED {
        let inside = at != NOWHERE;
        return select(vec4f(0.0), loaded(load_x(slot, select(0u, at + i4, inside))), inside);
    }
    return loaded(load_x(slot, at + i4));
}

fn dot4(a: vec4f, w0: vec4f, w1: vec4f, w2: vec4f, w3: vec4f, sum: vec4f) -> vec4f {
    return fma(vec4f(a.w), w3, fma(vec4f(a.z), w2, fma(vec4f(a.y), w1, fma(vec4f(a.x), w0, sum))));
}

fn store(job: Job, pixel: u32, o4: u32, sum: vec4f) {
    if pixel < job.pixels {
        store_y(job.y_slot, job.y_offset + pixel * job.y_stride + o4, epilogue(job, sum, pixel, o4));
    }
}
