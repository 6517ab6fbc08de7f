// Reordering between NCHW and NHWC: y[a * y_a + b * y_b + n * y_n] = x[a * x_a + b * x_b + n * x_n].
// a runs fastest; from valid_a on, zeros are written (the padding of channels). Bits stay as they are.
// One invocation makes one value. Dispatch: ceil(len / WG_SIZE) workgroups.

struct Params {
    len: u32, // extent_a * extent_b * images
    extent_a: u32,
    extent_b: u32,
    valid_a: u32,
    x_offset: u32, // all in elements
    x_a: u32,
    x_b: u32,
    x_n: u32,
    y_offset: u32,
    y_a: u32,
    y_b: u32,
    y_n: u32,
}

@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(WG_SIZE)
fn relayout(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = workgroup_index(workgroup, groups) * WG_SIZE + lane;
    if i >= params.len {
        return;
    }
    let a = i % params.extent_a;
    let b = i / params.extent_a % params.extent_b;
    let n = i / (params.extent_a * params.extent_b);
    var value = 0u;
    if a < params.valid_a {
        value = x[params.x_offset + a * params.x_a + b * params.x_b + n * params.x_n];
    }
    y[params.y_offset + a * params.y_a + b * params.y_b + n * params.y_n] = value;
}
