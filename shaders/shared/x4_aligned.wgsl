// Four values side by side, where fours begin only at multiples of four.

@group(0) @binding(0) var<storage, read> x: array<vec4u>;

fn load_x4(i: u32) -> vec4u {
    return x[i / 4u];
}

fn load_lines(i: vec4u) -> array<vec4u, 4> {
    return array<vec4u, 4>(load_x4(i.x), load_x4(i.y), load_x4(i.z), load_x4(i.w));
}
