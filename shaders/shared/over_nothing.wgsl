// A colour that lets through what lies behind it.

fn over(n: u32, row: u32, column: u32, color: vec3f) -> vec4f {
    return vec4f(color, params.opacity);
}

fn around(n: u32, row: u32, column: u32) -> vec4f {
    return vec4f(0.0);
}
