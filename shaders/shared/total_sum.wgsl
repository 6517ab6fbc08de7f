// The sum of values (0), their mean (1), the sum of their sizes (2), the root of that of their squares (3), that (4).

alias Total = f32;

const NOTHING = 0.0;
const PASSES = 1u;

fn taken(v: f32, k: u32, before: Total, turn: u32) -> Total {
    switch KIND {
        case 2u: { return abs(v); }
        case 3u, 4u: { return v * v; }
        default: { return v; }
    }
}

fn joined(a: Total, b: Total, turn: u32) -> Total {
    return a + b;
}

fn made(total: Total, before: Total) -> f32 {
    switch KIND {
        case 1u: { return total / f32(params.count); }
        case 3u: { return sqrt(total); }
        default: { return total; }
    }
}
