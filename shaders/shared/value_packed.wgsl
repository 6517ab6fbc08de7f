// Values one by one: 16 bits each, two in a word. Needs rounding and y_halves.

@group(0) @binding(0) var<storage, read> x: array<u32>;

fn load_value(i: u32) -> f32 {
    return unpack2x16float(x[i / 2u] >> (i % 2u * 16u)).x;
}

fn store_value(i: u32, v: f32) {
    store_y(i, to_halves(vec4u(bitcast<u32>(v))).x);
}
