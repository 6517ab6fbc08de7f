// Four values side by side of what a convolution left in parts, where fours begin only at multiples of four.

@group(0) @binding(0) var<storage, read> x: array<vec4f>;

fn load_x4(i: u32) -> vec4u {
    return bitcast<vec4u>(load_parts(i / 4u));
}
