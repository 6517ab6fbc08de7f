// Values one by one: 16 bits each, two in a word. Needs rounding and y_halves.

@group(0) @binding(0) var<storage, read> x: array<u32>;

fn load_value(i: u32) -> f32 {
    return unpack2x16float(x[i / 2u] >> (i % 2u * 16u)).x;
}

// An invocation makes both values of a word, but at the ends of a row.
fn put_row(x_row: u32, y_row: u32, share: u32, highest: f32, sum: f32) {
    let end = (y_row + params.padded + 1u) / 2u;
    for (var word = y_row / 2u + share; word < end; word += SHARES) {
        let i = vec2u(word * 2u, word * 2u + 1u) - y_row; // before the first value, it wraps around
        let is_value = i < vec2u(params.width);
        let at = x_row + select(vec2u(0u), i, is_value);
        let v = vec2f(made(load_value(at.x), highest, sum), made(load_value(at.y), highest, sum));
        let kept = select(vec2f(0.0), v, is_value);
        let halves = to_halves(bitcast<vec4u>(vec4f(kept, kept)));
        store_halves(word, halves.x | (halves.y << 16u), i < vec2u(params.padded));
    }
}
