// What happens to a convolution's sum before it is stored, where a residual of one pixel per image is added as bilinear
// resizing would spread it. The channel after the last is added, to all channels, in the upper and in the left half,
// centre not included: there, resizing also weights the pixel by zero, which makes infinities NaN.

@group(0) @binding(3) var<storage, read> residual: array<Residual>;

fn epilogue(job: Job, sum: vec4f, pixel: u32, o4: u32) -> vec4f {
    let row = pixel / job.out_w;
    let half = vec2u(row % job.out_h, pixel % job.out_w) * 2u + 1u < vec2u(job.out_h, job.out_w);
    let image = job.r_offset + row / job.out_h * job.r_stride;
    let after_last = bitcast<vec4u>(residual_of(residual[image + job.out_c / 4u]))[job.out_c % 4u];
    let added = sum + residual_of(residual[image + o4]) + select(0.0, bitcast<f32>(after_last), any(half));
    return keep_lanes(activate(added, job.activation, job.alpha, job.beta), o4 * 4u, job.out_c);
}
