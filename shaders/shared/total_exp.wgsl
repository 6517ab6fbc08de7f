// The logarithm of the sum of exponentials (12), or the mean of weights by exponentials (13). First the highest value,
// by its key, then sums of exp(v - highest). Needs keys, and weights_none or weights_table.

alias Total = vec2u; // a key; or the bits of a sum, and of one with weights

const NOTHING = vec2u(0u);
const PASSES = 2u;

fn taken(v: f32, k: u32, before: Total, turn: u32) -> Total {
    if turn == 0u {
        return vec2u(key_of(v), 0u);
    }
    // Of infinity less itself, too.
    let power = select(exp(v - of_key(before.x)), 1.0, key_of(v) == before.x);
    return bitcast<vec2u>(vec2f(power, power * weight(k)));
}

fn joined(a: Total, b: Total, turn: u32) -> Total {
    return select(bitcast<vec2u>(bitcast<vec2f>(a) + bitcast<vec2f>(b)), max(a, b), turn == 0u);
}

fn made(total: Total, before: Total) -> f32 {
    let sums = bitcast<vec2f>(total);
    let highest = of_key(before.x);
    if KIND == 12u {
        return highest + log(sums.x);
    }
    // Infinity has all of the distribution, or none: NaN, as of a softmax.
    let bits = bitcast<u32>(highest);
    let is_finite = (bits & 0x7fffffffu) < 0x7f800000u;
    return select(bitcast<f32>(bits | 0x00400000u), sums.y / sums.x, is_finite);
}
