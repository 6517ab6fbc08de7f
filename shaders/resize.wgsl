// Resizing, NHWC: y[n,oy,ox,c] = x at the same place, between pixels if BILINEAR (align_corners=false), else nearest.
// One invocation makes four channels of one output pixel.
// Dispatch: ceil(len / WG_SIZE) workgroups.
// Pieces from shared/: index; between; one of stored_f32, stored_f16, stored_packed;
//   with stored_packed: rounding.
// Constants from Rust: WG_SIZE, BILINEAR.

struct Params {
    len: u32, // vec4s to write: n * out_h * out_w * channels4
    channels4: u32,
    in_h: u32,
    in_w: u32,
    out_h: u32,
    out_w: u32,
    x_offset: u32, // slices, in vec4s: first channel, and distance from pixel to pixel
    x_stride: u32,
    y_offset: u32,
    y_stride: u32,
}

@group(0) @binding(0) var<storage, read> x: array<Stored>;
@group(0) @binding(1) var<storage, read_write> y: array<Stored>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(WG_SIZE)
fn resize(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = workgroup_index(workgroup, workgroups) * WG_SIZE + lane;
    if i >= params.len {
        return;
    }
    let c = i % params.channels4;
    let pixel = i / params.channels4;
    let ox = pixel % params.out_w;
    let oy = pixel / params.out_w % params.out_h;
    let n = pixel / (params.out_w * params.out_h);

    var value: vec4f;
    if BILINEAR {
        let row = beside(oy, params.in_h, params.out_h);
        let column = beside(ox, params.in_w, params.out_w);
        let above = weigh(load(n, row.first, column.first, c), load(n, row.first, column.second, c), column.weights);
        let below = weigh(load(n, row.second, column.first, c), load(n, row.second, column.second, c), column.weights);
        value = weigh(above, below, row.weights);
    } else {
        value = load(n, oy * params.in_h / params.out_h, ox * params.in_w / params.out_w, c);
    }
    y[params.y_offset + pixel * params.y_stride + c] = stored(value);
}

// The place is (out + 1/2) * in_size / out_size - 1/2.
fn beside(out: u32, in_size: u32, out_size: u32) -> Between {
    return between(i32((2u * out + 1u) * in_size) - i32(out_size), 2u * out_size, in_size);
}

fn weigh(first: vec4f, second: vec4f, weights: vec2f) -> vec4f {
    return first * weights.x + second * weights.y;
}

fn load(n: u32, iy: u32, ix: u32, c: u32) -> vec4f {
    return loaded(x[params.x_offset + ((n * params.in_h + iy) * params.in_w + ix) * params.x_stride + c]);
}
