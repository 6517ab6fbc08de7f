// What happens to a convolution's sum before it is stored, where a residual is added after the activation.

@group(0) @binding(3) var<storage, read> residual: array<Residual>;

fn epilogue(job: Job, sum: vec4f, pixel: u32, o4: u32) -> vec4f {
    let added = residual_of(residual[job.r_offset + pixel * job.r_stride + o4]);
    return keep_lanes(activate(sum, job.activation, job.alpha, job.beta) + added, o4 * 4u, job.out_c);
}
