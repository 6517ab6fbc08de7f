// Convolutions whose groups may cut through a vec4 (depthwise first of all), NHWC:
//   y[n,oy,ox,o] = act(bias[o] + Σ x[n,iy,ix,group(o) * group_in_c + i] * w[ky,kx,i,o] + residual)
// One invocation makes four output channels of one pixel, each with inputs of its own group.
// Dispatch: for each job, ceil(pixels * out_c4 / WG_SIZE) workgroups. A job has one term.
// Weights: [ky][kx][channel in group][out_c4].
// Pieces from shared/: index, jobs, window, activation, lanes, sources_1, targets_1;
//   one of functions_few, functions_all;
//   one of epilogue_plain, epilogue_residual, epilogue_last, epilogue_image, epilogue_resized;
//   with epilogue_residual: residual_stored; with epilogue_last: residual_stored; with epilogue_image: residual_stored;
//   with epilogue_resized: residual_stored;
//   one of made_stored, made_sums; one of stored_f32, stored_f16, stored_packed; with stored_packed: rounding.
// Constants from Rust: WG_SIZE, DEPTHWISE; JOBS, TERMS, ROUNDS.

alias Read = Stored;

@compute @workgroup_size(WG_SIZE)
fn conv_grouped(
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
    let index = found.y * WG_SIZE + lane;
    if index >= job.pixels * out_c4 {
        return;
    }
    let o4 = index % out_c4;
    let pixel = index / out_c4;
    let ox = pixel % job.out_w;
    let oy = pixel / job.out_w % job.out_h;
    let n = pixel / (job.out_w * job.out_h);
    let top = i32(oy * term.stride_h) - i32(term.pad_top);
    let left = i32(ox * term.stride_w) - i32(term.pad_left);
    let ky_begin = first_tap(top, term.dilation_h);
    let kx_begin = first_tap(left, term.dilation_w);
    let ky_end = end_tap(top, term.dilation_h, term.kernel_h, term.in_h);
    let kx_end = end_tap(left, term.dilation_w, term.kernel_w, term.in_w);
    // Padding lanes of the last vec4 have zero weights; they read some channel that exists.
    let o = min(vec4u(o4 * 4u) + vec4u(0u, 1u, 2u, 3u), vec4u(job.out_c - 1u));
    let channel = o / term.group_out_c * term.group_in_c;

    let inputs = select(term.group_in_c, 1u, DEPTHWISE);
    let first_y = n * term.in_h + u32(top + i32(ky_begin * term.dilation_h));
    let first_x = u32(left + i32(kx_begin * term.dilation_w));
    var row = term.x_offset + (first_y * term.in_w + first_x) * term.x_stride;
    var row_w = term.weights + (ky_begin * term.kernel_w + kx_begin) * inputs * out_c4 + o4;
    var sum = bias[job.bias + o4];
    for (var ky = ky_begin; ky < ky_end; ky++) {
        var tap = row;
        var w = row_w;
        for (var kx = kx_begin; kx < kx_end; kx++) {
            for (var i = 0u; i < inputs; i++) {
                sum = fma(gather(term.x_slot, tap, channel + vec4u(i)), loaded(weights[w]), sum);
                w += out_c4;
            }
            tap += term.dilation_w * term.x_stride;
        }
        row += term.dilation_h * term.in_w * term.x_stride;
        row_w += term.kernel_w * inputs * out_c4;
    }
    store_y(job.y_slot, job.y_offset + pixel * job.y_stride + o4, epilogue(job, sum, pixel, o4));
}

fn gather(slot: u32, tap: u32, channel: vec4u) -> vec4f {
    if DEPTHWISE {
        return loaded(load_x(slot, tap + channel.x / 4u));
    }
    return vec4f(
        lane_of(loaded(load_x(slot, tap + channel.x / 4u)), channel.x % 4u),
        lane_of(loaded(load_x(slot, tap + channel.y / 4u)), channel.y % 4u),
        lane_of(loaded(load_x(slot, tap + channel.z / 4u)), channel.z % 4u),
        lane_of(loaded(load_x(slot, tap + channel.w / 4u)), channel.w % 4u),
    );
}

// Picked from bits: FXC picks from floats by a dot product, in which an infinite lane makes all of them NaN.
fn lane_of(v: vec4f, l: u32) -> f32 {
    return bitcast<f32>(bitcast<vec4u>(v)[l]);
}
