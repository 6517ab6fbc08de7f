// Four values side by side, where fours begin only at multiples of four.

@group(0) @binding(0) var<storage, read> x: array<vec4u>;

fn load_x4(i: u32) -> vec4u {
    return x[i / 4u];
}
