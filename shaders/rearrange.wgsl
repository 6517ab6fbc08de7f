// A copy in another order: y[i, j, …] = x[x_offset + walk(i) + walk(j) + …], or fill where a walk says so. Bits stay as
// they are, unless x is in f16.
// One invocation makes one value.
// Dispatch: ceil(len / WG_SIZE) workgroups.
// Pieces from shared/: index; one of walk_steps, walk_places; one of bits_f32, bits_f16.
// Constants from Rust: WG_SIZE, AXES, IMAGES.

struct Sizes {
    len: u32, // values of y
    x_offset: u32, // from here on in values
    fill: u32, // its bits
    y_offset: u32,
    y_image: u32, // if IMAGES: values of an image, and from one to the next
    y_stride: u32,
    unused_0: u32,
    unused_1: u32,
}

// An axis: the first is the outermost.
struct Leg {
    extent: u32,
    step: u32, // values from step to step, or where its places begin
    unused_0: u32,
    unused_1: u32,
}

struct Params {
    sizes: array<Sizes, 1>,
    legs: array<Leg, AXES>,
}

@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(WG_SIZE)
fn rearrange(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = workgroup_index(workgroup, workgroups) * WG_SIZE + lane;
    let sizes = params.sizes[0];
    if i >= sizes.len {
        return;
    }
    var at = sizes.y_offset + i;
    if IMAGES {
        at = sizes.y_offset + i / sizes.y_image * sizes.y_stride + i % sizes.y_image;
    }
    y[at] = walked(i, sizes.x_offset, sizes.fill);
}
