// Red, green and blue at a place, out of brightness and of colour, of which there is one for four pixels, in their
// middle. Needs texel, between and unit.

@group(0) @binding(5) var chroma: texture_2d_array<f32>;

fn colors(n: u32, row: u32, column: u32) -> vec3f {
    let rows = between(i32((2u * row + 1u) * params.seen_h) - i32(params.h), 2u * params.h, params.seen_h);
    let columns = between(i32((2u * column + 1u) * params.seen_w) - i32(params.w), 2u * params.w, params.seen_w);
    let lights = vec2f(luma(n, rows.first, columns), luma(n, rows.second, columns));
    let y = (dot(lights, rows.weights) - LUMA_ZERO) * LUMA;

    let pairs = between_pairs(row, params.seen_top, params.seen_h, params.h);
    let beside = between_pairs(column, params.seen_left, params.seen_w, params.w);
    let above = tints(n, params.seen_top / 2u + pairs.first, beside);
    let below = tints(n, params.seen_top / 2u + pairs.second, beside);
    let uv = above * pairs.weights.x + below * pairs.weights.y - 128.0 / 255.0;

    let rgb = vec3f(y + RED_OF_V * uv.y, y + GREEN_OF_U * uv.x + GREEN_OF_V * uv.y, y + BLUE_OF_U * uv.x);
    return unit(vec4f(rgb, 0.0)).rgb;
}

// The place among pixels that stand for two each: ((begin + (at + 1/2) * seen / len) / 2 - 1/2), from that of
// `begin` on.
fn between_pairs(at: u32, begin: u32, seen: u32, len: u32) -> Between {
    let odd = begin % 2u;
    let exact = i32((2u * at + 1u) * seen + 2u * odd * len) - i32(2u * len);
    return between(exact, 4u * len, (odd + seen + 1u) / 2u);
}

fn luma(n: u32, row: u32, columns: Between) -> f32 {
    let first = texel(n, params.seen_top + row, params.seen_left + columns.first).r;
    let second = texel(n, params.seen_top + row, params.seen_left + columns.second).r;
    return dot(vec2f(first, second), columns.weights);
}

fn tints(n: u32, row: u32, columns: Between) -> vec2f {
    let begin = params.seen_left / 2u;
    let first = textureLoad(chroma, vec2u(begin + columns.first, row), n, 0).rg;
    let second = textureLoad(chroma, vec2u(begin + columns.second, row), n, 0).rg;
    return first * columns.weights.x + second * columns.weights.y;
}
