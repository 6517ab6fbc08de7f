// A colour mixed with that of a picture. Needs texel.

fn over(n: u32, row: u32, column: u32, color: vec3f) -> vec4f {
    return vec4f(color * params.opacity + texel(n, row, column).rgb * (1.0 - params.opacity), 1.0);
}

fn around(n: u32, row: u32, column: u32) -> vec4f {
    return vec4f(texel(n, row, column).rgb, 1.0);
}
