// A colour mixed with that of a picture. Needs texel.

fn over(n: u32, row: u32, column: u32, color: vec3f) -> vec4f {
    let mixed = color * params.opacity + texel(n, row, column).rgb * (1.0 - params.opacity);
    // Nothing of it shows through, not even an infinity.
    return vec4f(select(mixed, color, bitcast<u32>(params.opacity) == 0x3f800000u), 1.0);
}

fn around(n: u32, row: u32, column: u32) -> vec4f {
    return vec4f(texel(n, row, column).rgb, 1.0);
}
