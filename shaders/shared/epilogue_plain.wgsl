// What happens to a convolution's sum before it is stored.

fn epilogue(job: Job, sum: vec4f, pixel: u32, o4: u32) -> vec4f {
    return keep_lanes(activate(sum, job.activation, job.alpha, job.beta), o4 * 4u, job.out_c);
}
