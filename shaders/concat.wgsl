// A copy into a slice: y[pixel, c] = x[pixel, c], zero from channels to padded. Bits stay as they are.
// One invocation makes one element of memory: four channels, or, where slices are not aligned to that, a word.
// Dispatch: ceil(len / WG_SIZE) workgroups.
// Pieces from shared/: index; one of element_vec4, element_vec2, element_scalar; one of copy_whole, copy_halves.
// Constants from Rust: WG_SIZE.

struct Params {
    len: u32, // elements to write: pixels * elements
    elements: u32, // of a pixel
    channels: u32, // from here on in what is copied at once: elements or, by copy_halves, their halves
    padded: u32,
    x_offset: u32,
    x_stride: u32,
    y_offset: u32,
    y_stride: u32,
}

@group(0) @binding(0) var<storage, read> x: array<Element>;
@group(0) @binding(1) var<storage, read_write> y: array<Element>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(WG_SIZE)
fn concat(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = workgroup_index(workgroup, workgroups) * WG_SIZE + lane;
    if i >= params.len {
        return;
    }
    let pixel = i / params.elements;
    copy(params.x_offset + pixel * params.x_stride, params.y_offset + pixel * params.y_stride, i % params.elements);
}
