// Values by computed indices: y[i] = x[walk_x(i) + stride * index], index = indices[walk_indices(i)] as a whole number;
// negative ones count from the end, and those beyond the axis take its first or last value. Bits stay as they are.
// One invocation makes one value.
// Dispatch: ceil(len / WG_SIZE) workgroups.
// Pieces from shared/: index, walks, images.
// Constants from Rust: WG_SIZE, AXES.

struct Params {
    len: u32,
    extent: u32, // of the axis that is looked up, and from value to value of it
    stride: u32,
    y_offset: u32, // first value, values from image to image, values of an image
    y_stride: u32,
    y_image: u32,
    a_offset: u32, // walks over x and over the indices
    b_offset: u32,
    extent_0: u32,
    extent_1: u32,
    extent_2: u32,
    extent_3: u32,
    extent_4: u32,
    extent_5: u32,
    a_0: u32,
    a_1: u32,
    a_2: u32,
    a_3: u32,
    a_4: u32,
    a_5: u32,
    b_0: u32,
    b_1: u32,
    b_2: u32,
    b_3: u32,
    b_4: u32,
    b_5: u32,
}

@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read> indices: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(WG_SIZE)
fn gather(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = workgroup_index(workgroup, workgroups) * WG_SIZE + lane;
    if i >= params.len {
        return;
    }
    let at = walks(i);
    y[y_at(i)] = x[at.x + params.stride * index_of(indices[at.y])];
}

// By bits, so that nothing beyond an integer is converted to one; NaN counts as zero.
fn index_of(bits: u32) -> u32 {
    const TWO_TO_25 = 0x4c000000u; // beyond every extent
    let magnitude = bits & 0x7fffffffu;
    let number = select(min(magnitude, TWO_TO_25), 0u, magnitude > 0x7f800000u);
    let whole = i32(round(bitcast<f32>(number)));
    let extent = i32(params.extent);
    let index = select(whole, extent - whole, bits >> 31u == 1u && whole > 0);
    return u32(clamp(index, 0, extent - 1));
}
