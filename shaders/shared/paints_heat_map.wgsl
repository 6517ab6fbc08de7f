// One channel as a colour between two that stand side by side. Needs unit.

@group(0) @binding(3) var<storage, read> palette: array<vec4f>;

fn painted(n: u32, rows: Sides, columns: Sides) -> vec3f {
    let value = values(n, rows, columns, 0u)[LANE];
    let place = unit(vec4f(value * params.scale_0 + params.shift_0)).x * params.spans;
    let below = min(u32(place), u32(params.spans) - 1u);
    let share = place - f32(below);
    return palette[below].rgb * (1.0 - share) + palette[below + 1u].rgb * share;
}
