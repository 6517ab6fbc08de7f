// Values one by one, in NCHW: up to four that follow each other.

@group(0) @binding(3) var<storage, read_write> y: array<f32>;

// Where four values of an operand lie; beyond the last along the axis, that one again.
fn four(begin: u32, step: u32, first: u32) -> vec4u {
    return begin + min(vec4u(0u, 1u, 2u, 3u), vec4u(params.sizes[0].valid - 1u - first)) * step;
}

fn put(places: Places, v: vec4f) {
    let sizes = params.sizes[0];
    let count = sizes.valid - places.first;
    y[places.y] = v.x;
    if count > 1u {
        y[places.y + sizes.y_step] = v.y;
    }
    if count > 2u {
        y[places.y + 2u * sizes.y_step] = v.z;
    }
    if count > 3u {
        y[places.y + 3u * sizes.y_step] = v.w;
    }
}
