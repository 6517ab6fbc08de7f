// The channel with the largest value, the first of several, as its colour; NaN is the largest.

@group(0) @binding(3) var<storage, read> palette: array<vec4f>;

fn painted(n: u32, rows: Sides, columns: Sides) -> vec3f {
    var largest = 0u;
    var winner = 0u;
    for (var c = 0u; c < params.channels; c += 4u) {
        let keys = in_order(values(n, rows, columns, c / 4u));
        if keys.x > largest {
            largest = keys.x;
            winner = c;
        }
        if c + 1u < params.channels && keys.y > largest {
            largest = keys.y;
            winner = c + 1u;
        }
        if c + 2u < params.channels && keys.z > largest {
            largest = keys.z;
            winner = c + 2u;
        }
        if c + 3u < params.channels && keys.w > largest {
            largest = keys.w;
            winner = c + 3u;
        }
    }
    return palette[winner].rgb;
}

// Floats as integers in the same order, above 0, with NaN of either sign on top.
fn in_order(v: vec4f) -> vec4u {
    let bits = bitcast<vec4u>(v);
    let key = select(bits | vec4u(0x80000000u), ~bits, bits >= vec4u(0x80000000u));
    return select(key, vec4u(0xffffffffu), (bits & vec4u(0x7fffffffu)) > vec4u(0x7f800000u));
}
