// Red, green and blue of a picture at a place. Needs texel and between.

fn colors(n: u32, row: u32, column: u32) -> vec3f {
    let rows = between(i32((2u * row + 1u) * params.seen_h) - i32(params.h), 2u * params.h, params.seen_h);
    let columns = between(i32((2u * column + 1u) * params.seen_w) - i32(params.w), 2u * params.w, params.seen_w);
    let above = texels(n, rows.first, columns);
    let below = texels(n, rows.second, columns);
    return above * rows.weights.x + below * rows.weights.y;
}

fn texels(n: u32, row: u32, columns: Between) -> vec3f {
    let first = texel(n, params.seen_top + row, params.seen_left + columns.first).rgb;
    let second = texel(n, params.seen_top + row, params.seen_left + columns.second).rgb;
    return first * columns.weights.x + second * columns.weights.y;
}
