// Depthwise convolutions, NHWC: y[n,oy,ox,c] = act(bias[c] + Σ x[n,iy,ix,c] * w[ky,kx,c] + residual)
// One invocation makes four channels of four pixels side by side: what one reads of a row, its neighbours read too.
// Dispatch: for each job, ceil(n * out_h * ceil(out_w / 4) * out_c4 / WG_SIZE) workgroups. A job has one term.
// Weights: [ky][kx][out_c4].
// Pieces from shared/: index, jobs, window, activation, lanes; one of functions_few, functions_all;
//   one of sources_1, sources_2, sources_3; one of targets_1, targets_2, targets_3;
//   one of epilogue_plain, epilogue_residual, epilogue_last, epilogue_image, epilogue_resized;
//   with epilogue_residual: residual_stored; with epilogue_last: residual_stored; with epilogue_image: residual_stored;
//   with epilogue_resized: residual_stored;
//   one of made_stored, made_sums; one of stored_f32, stored_f16, stored_packed; with stored_packed: rounding.
// Constants from Rust: WG_SIZE, KERNEL_W, STRIDE_W; JOBS, TERMS, ROUNDS.

alias Read = Stored;

@compute @workgroup_size(WG_SIZE)
fn conv_depthwise(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let found = job_of(workgroup_index(workgroup, workgroups));
    if found.x == JOBS {
        return;
    }
    let job = params.jobs[found.x];
    let term = params.terms[job.term_begin];
    let out_c4 = (job.out_c + 3u) / 4u;
    let runs = (job.out_w + 3u) / 4u;
    let index = found.y * WG_SIZE + lane;
    let c4 = index % out_c4;
    let run = index / out_c4;
    let ox = run % runs * 4u;
    let row = run / runs;
    if row * job.out_w >= job.pixels {
        return;
    }
    let oy = row % job.out_h;
    let n = row / job.out_h;
    let top = i32(oy * term.stride_h) - i32(term.pad_top);
    let left = i32(ox * STRIDE_W) - i32(term.pad_left);
    let ky_begin = first_tap(top, term.dilation_h);
    let ky_end = end_tap(top, term.dilation_h, term.kernel_h, term.in_h);

    let first = bias[job.bias + c4];
    var sum_0 = first;
    var sum_1 = first;
    var sum_2 = first;
    var sum_3 = first;
    var w = term.weights + ky_begin * KERNEL_W * out_c4 + c4;
    for (var ky = ky_begin; ky < ky_end; ky++) {
        let iy = u32(top + i32(ky * term.dilation_h));
        let begin = term.x_offset + (n * term.in_h + iy) * term.in_w * term.x_stride + c4;
        // What the four pixels read at this tap and, if they lie two apart, at the next.
        var x_0 = tap(term, begin, left);
        var x_1 = tap(term, begin, left + i32(STRIDE_W));
        var x_2 = tap(term, begin, left + i32(2u * STRIDE_W));
        var x_3 = tap(term, begin, left + i32(3u * STRIDE_W));
        var z_0 = vec4f(0.0);
        var z_1 = vec4f(0.0);
        var z_2 = vec4f(0.0);
        var z_3 = vec4f(0.0);
        if STRIDE_W == 2u {
            z_0 = tap(term, begin, left + 1);
            z_1 = tap(term, begin, left + 3);
            z_2 = tap(term, begin, left + 5);
            z_3 = tap(term, begin, left + 7);
        }
        for (var kx = 0u; kx < KERNEL_W; kx++) {
            let weight = loaded(weights[w]);
            w += out_c4;
            sum_0 = fma(x_0, weight, sum_0);
            sum_1 = fma(x_1, weight, sum_1);
            sum_2 = fma(x_2, weight, sum_2);
            sum_3 = fma(x_3, weight, sum_3);
            // The first pixel goes on to what the second has read, and so on.
            let next_0 = x_1;
            let next_1 = x_2;
            let next_2 = x_3;
            if STRIDE_W == 2u {
                x_0 = z_0;
                x_1 = z_1;
                x_2 = z_2;
                x_3 = z_3;
                z_0 = next_0;
                z_1 = next_1;
                z_2 = next_2;
                if kx + 2u < KERNEL_W {
                    z_3 = tap(term, begin, left + i32(kx) + 8);
                }
            } else {
                x_0 = next_0;
                x_1 = next_1;
                x_2 = next_2;
                if kx + 1u < KERNEL_W {
                    x_3 = tap(term, begin, left + i32(kx) + 4);
                }
            }
        }
    }
    let pixel = row * job.out_w + ox;
    put(job, sum_0, pixel, c4);
    if ox + 1u < job.out_w {
        put(job, sum_1, pixel + 1u, c4);
    }
    if ox + 2u < job.out_w {
        put(job, sum_2, pixel + 2u, c4);
    }
    if ox + 3u < job.out_w {
        put(job, sum_3, pixel + 3u, c4);
    }
}

// Zero beyond the image.
fn tap(term: Term, begin: u32, ix: i32) -> vec4f {
    let last = i32(term.in_w) - 1;
    let v = loaded(load_x(term.x_slot, begin + u32(clamp(ix, 0, last)) * term.x_stride));
    return select(vec4f(0.0), v, ix >= 0 && ix <= last);
}

fn put(job: Job, sum: vec4f, pixel: u32, c4: u32) {
    store_y(job.y_slot, job.y_offset + pixel * job.y_stride + c4, epilogue(job, sum, pixel, c4));
}
