// Four values side by side of what a convolution left in parts, where fours begin only at multiples of four.

@group(0) @binding(0) var<storage, read> x: array<vec4f>;

fn load_lines(i: vec4u) -> array<vec4u, 4> {
    let v = load_parts(i / 4u);
    return array<vec4u, 4>(bitcast<vec4u>(v[0]), bitcast<vec4u>(v[1]), bitcast<vec4u>(v[2]), bitcast<vec4u>(v[3]));
}
