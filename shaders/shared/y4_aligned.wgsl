// Four values side by side, where fours begin only at multiples of four, and all four are written.

@group(0) @binding(1) var<storage, read_write> y: array<QuadY>;

fn store_y4(i: u32, v: vec4u, count: u32) {
    y[i / 4u] = joined_y(v);
}
