// The functions of ops::Activation, by number. Comparisons are false for NaN, so that NaN passes through.

fn activate(v: vec4f, activation: u32, slope: f32) -> vec4f {
    switch activation {
        case 1u: { return select(v, vec4f(0.0), v < vec4f(0.0)); } // ReLU
        case 2u: { return select(v, v * slope, v < vec4f(0.0)); } // LeakyReLU
        case 3u: { return v / (1.0 + exp(-v)); } // SiLU
        case 4u: { return keep_nan(v, 1.0 / (1.0 + exp(-v))); } // sigmoid
        case 5u: { return v * (clamp(v + 3.0, vec4f(0.0), vec4f(6.0)) / 6.0); } // Hardswish
        default: { return v; }
    }
}

// The result, or NaN where the operand is: some drivers' exp turns NaN into a number, but its bits show it everywhere.
fn keep_nan(v: vec4f, result: vec4f) -> vec4f {
    return select(result, v, (bitcast<vec4u>(v) & vec4u(0x7fffffffu)) > vec4u(0x7f800000u));
}
