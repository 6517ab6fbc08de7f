// The pixels on both sides of a place, and the weight of each.

struct Between {
    first: u32,
    second: u32,
    weights: vec2f,
}

// The place is `exact / whole`, not below 0: in whole numbers it is exact, and each weight is rounded by itself, as
// 1 - share would pass the error of a large share on to a small weight. At the last centre it is the pixel itself, not
// 0 times its infinity.
fn between(exact: i32, whole: u32, size: u32) -> Between {
    let place = u32(max(exact, 0));
    let first = place / whole;
    let share = place % whole;
    if exact >= 0 && share == 0u && first == size - 1u {
        return Between(first, first, vec2f(0.5));
    }
    let weights = vec2f(f32(whole - share), f32(share)) / f32(whole);
    return Between(first, min(first + 1u, size - 1u), weights);
}
