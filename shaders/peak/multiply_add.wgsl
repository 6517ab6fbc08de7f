// Arithmetic alone: 32 independent chains v = fma(v, factor, addend), started at s, s + 1 ... s + 31 with
// s = i % 8, advanced 4 * rounds + 1 times each; y[i] = their sum. No chain can be left out: all of them end in y.
// One invocation makes one value. Dispatch: ceil(len / WG_SIZE) workgroups.
// Pieces from shared/: index; one of vec4_f16, vec4_f32.
// Constants from Rust: WG_SIZE.

struct Params {
    len: u32,
    rounds: u32,
    factor: f32, // known to no compiler, so that no chain can be shortened
    addend: f32,
}

@group(0) @binding(0) var<storage, read_write> y: array<f32>;
@group(0) @binding(1) var<uniform> params: Params;

fn once(v: Vec4) -> Vec4 {
    return fma(v, Vec4(vec4f(params.factor)), Vec4(vec4f(params.addend)));
}

fn four_times(v: Vec4) -> Vec4 {
    return once(once(once(once(v))));
}

@compute @workgroup_size(WG_SIZE)
fn multiply_add(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = workgroup_index(workgroup, workgroups) * WG_SIZE + lane;
    if i >= params.len {
        return;
    }
    let start = f32(i % 8u) + vec4f(0.0, 1.0, 2.0, 3.0);
    var v0 = once(Vec4(start));
    var v1 = once(Vec4(start + 4.0));
    var v2 = once(Vec4(start + 8.0));
    var v3 = once(Vec4(start + 12.0));
    var v4 = once(Vec4(start + 16.0));
    var v5 = once(Vec4(start + 20.0));
    var v6 = once(Vec4(start + 24.0));
    var v7 = once(Vec4(start + 28.0));
    for (var round = 0u; round < params.rounds; round += 1u) {
        v0 = four_times(v0);
        v1 = four_times(v1);
        v2 = four_times(v2);
        v3 = four_times(v3);
        v4 = four_times(v4);
        v5 = four_times(v5);
        v6 = four_times(v6);
        v7 = four_times(v7);
    }
    let even = vec4f(v0) + vec4f(v2) + vec4f(v4) + vec4f(v6);
    let odd = vec4f(v1) + vec4f(v3) + vec4f(v5) + vec4f(v7);
    y[i] = dot(even + odd, vec4f(1.0));
}
