// The source is what a convolution left in parts, each of dense pixels.

@group(0) @binding(2) var<storage, read> x: array<vec4f>;

fn load_x(i: u32) -> vec4f {
    return keep_lanes(load_parts(i), i % params.channels4 * 4u, params.channels);
}
