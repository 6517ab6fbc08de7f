// Where the largest of values is (8, of equal ones the first, 9, the last), or the smallest (10, 11), or NaN, by keys.
// Needs keys.

// Of the value its key; where it is, so that the larger wins; no lane without a value does.
alias Total = vec2u;

const NOTHING = vec2u(0u);
const PASSES = 1u;
const IS_LAST = KIND % 2u == 1u;

fn taken(v: f32, k: u32, before: Total, turn: u32) -> Total {
    return vec2u(key_of(select(v, -v, KIND >= 10u)), select(~k, k, IS_LAST));
}

fn joined(a: Total, b: Total, turn: u32) -> Total {
    return select(a, b, b.x > a.x || (b.x == a.x && b.y > a.y));
}

fn made(total: Total, before: Total) -> f32 {
    return f32(select(~total.y, total.y, IS_LAST));
}
