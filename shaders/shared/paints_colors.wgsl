// Three channels as red, green and blue. Needs unit.

fn painted(n: u32, rows: Sides, columns: Sides) -> vec3f {
    let scale = vec4f(params.scale_0, params.scale_1, params.scale_2, 0.0);
    let shift = vec4f(params.shift_0, params.shift_1, params.shift_2, 0.0);
    return unit(values(n, rows, columns, 0u) * scale + shift).rgb;
}
