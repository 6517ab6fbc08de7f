// Next to nothing, behind the dispatch it waits for: y[0] = y[0] + step.
// One invocation makes the one value.
// Dispatch: 1 workgroup.

struct Params {
    step: f32,
}

@group(0) @binding(0) var<storage, read_write> y: array<f32>;
@group(0) @binding(1) var<uniform> params: Params;

@compute @workgroup_size(1)
fn count() {
    y[0] += params.step;
}
