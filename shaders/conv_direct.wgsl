// Convolutions without workgroup memory, NHWC, each a sum of terms t:
//   y[n,oy,ox,o] = act(bias[o] + Σ x_t[n,iy,ix,i] * w_t[ky,kx,i,o] + residual)
// One invocation makes four output channels of four pixels. The lanes of a workgroup lie along output channels, so
// that they read x at one address, and w side by side.
// Dispatch: for each job, blocks of LANES * 4 output channels times ceil(pixels / 4), pixels fastest.
// Weights: [term][block][ky][kx][in channel][lane].

@compute @workgroup_size(LANES)
fn conv_direct(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let found = job_of(workgroup_index(workgroup, groups));
    if found.x == JOBS {
        return;
    }
    let job = params.jobs[found.x];
    let tiles = (job.pixels + 3u) / 4u;
    let block = found.y / tiles;
    let o4 = block * LANES + lane;
    if o4 * 4u >= job.out_c {
        return;
    }
    // A lane of these vectors is one of the four pixels; the last tile repeats the last pixel.
    let first = found.y % tiles * 4u;
    let pixel = min(vec4u(first) + vec4u(0u, 1u, 2u, 3u), vec4u(job.pixels - 1u));
    let ox = pixel % job.out_w;
    let oy = pixel / job.out_w % job.out_h;
    let n = pixel / (job.out_w * job.out_h);

    var sum0 = bias[job.bias + o4];
    var sum1 = sum0;
    var sum2 = sum0;
    var sum3 = sum0;
    for (var t = job.term_begin; t < job.term_end; t++) {
        let term = params.terms[t];
        let left = vec4i(ox * term.stride_w) - vec4i(i32(term.pad_left));
        let top = vec4i(oy * term.stride_h) - vec4i(i32(term.pad_top));
        let in_c4 = term.group_in_c / 4u;
        let channel = term.x_offset + o4 * 4u / term.group_out_c * in_c4;
        let skip = term.group_in_c * LANES;
        var w = term.weights + block * term.kernel_h * term.kernel_w * skip + lane;
        for (var ky = 0u; ky < term.kernel_h; ky++) {
            let iy = top + vec4i(i32(ky * term.dilation_h));
            for (var kx = 0u; kx < term.kernel_w; kx++) {
                let ix = left + vec4i(i32(kx * term.dilation_w));
                let inside = inside_image(iy, ix, term.in_h, term.in_w);
                let row = n * term.in_h + vec4u(iy);
                let at = (row * term.in_w + vec4u(ix)) * term.x_stride + channel;
                let tap = select(vec4u(term.x_offset), at, inside);
                if PADDED && !any(inside) {
                    w += skip;
                    continue;
                }
                for (var i4 = 0u; i4 < in_c4; i4++) {
                    let w0 = weights[w];
                    let w1 = weights[w + LANES];
                    let w2 = weights[w + 2u * LANES];
                    let w3 = weights[w + 3u * LANES];
                    w += 4u * LANES;
                    sum0 = dot4(load(term.x_slot, tap.x + i4, inside.x), w0, w1, w2, w3, sum0);
                    sum1 = dot4(load(term.x_slot, tap.y + i4, inside.y), w0, w1, w2, w3, sum1);
                    sum2 = dot4(load(term.x_slot, tap.z + i4, inside.z), w0, w1, w2, w3, sum2);
                    sum3 = dot4(load(term.x_slot, tap.w + i4, inside.w), w0, w1, w2, w3, sum3);
                }
            }
        }
    }
    store(job, first, o4, sum0);
    store(job, first + 1u, o4, sum1);
    store(job, first + 2u, o4, sum2);
    store(job, first + 3u, o4, sum3);
}

// Taps in the padding are zero by choice, not by multiplication: the value at the stand-in address may be infinite.
fn load(slot: u32, i: u32, inside: bool) -> vec4f {
    if PADDED {
        return select(vec4f(0.0), load_x(slot, i), inside);
    }
    return load_x(slot, i);
}

fn dot4(a: vec4f, w0: vec4f, w1: vec4f, w2: vec4f, w3: vec4f, sum: vec4f) -> vec4f {
    return fma(vec4f(a.w), w3, fma(vec4f(a.z), w2, fma(vec4f(a.y), w1, fma(vec4f(a.x), w0, sum))));
}

fn store(job: Job, pixel: u32, o4: u32, sum: vec4f) {
    if pixel < job.pixels {
        store_y(job.y_slot, job.y_offset + pixel * job.y_stride + o4, epilogue(job, sum, pixel, o4));
    }
}
