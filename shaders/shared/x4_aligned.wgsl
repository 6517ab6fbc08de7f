// Four values side by side, where fours begin only at multiples of four.

@group(0) @binding(0) var<storage, read> x: array<QuadX>;

fn load_x4(i: u32) -> vec4u {
    return spread_x(x[i / 4u]);
}
