// A weight for each value that is reduced.

@group(0) @binding(3) var<storage, read> weights: array<f32>;

fn weight(k: u32) -> f32 {
    return weights[k];
}
