// Memory traffic alone: y[i] = x[i].
// One invocation makes four values, 16 bytes.
// Dispatch: ceil(len / WG_SIZE) workgroups.
// Pieces from shared/: index.
// Constants from Rust: WG_SIZE.

struct Params {
    len: u32, // vec4s
}

@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(WG_SIZE)
fn copy(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = workgroup_index(workgroup, workgroups) * WG_SIZE + lane;
    if i < params.len {
        y[i] = x[i];
    }
}
