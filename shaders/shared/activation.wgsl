// The functions of ops::Activation, by number. Needs functions_few or functions_all.

// NaN stays NaN, told by its bits: some compilers turn a comparison into a maximum, and some drivers' exp and maximum
// turn NaN into a number.
fn activate(v: vec4f, activation: u32, alpha: f32, beta: f32) -> vec4f {
    let is_nan = (bitcast<vec4u>(v) & vec4u(0x7fffffffu)) > vec4u(0x7f800000u);
    return select(activated(v, activation, alpha, beta), v, is_nan);
}

fn activated(v: vec4f, activation: u32, alpha: f32, beta: f32) -> vec4f {
    switch activation {
        case 0u: { return v; }
        case 1u: { return select(v, vec4f(0.0), v < vec4f(0.0)); } // ReLU
        case 2u: { return select(v, scaled(v, alpha), v < vec4f(0.0)); } // LeakyReLU
        case 3u: { return v / (1.0 + exp(-v)); } // SiLU
        case 4u: { return 1.0 / (1.0 + exp(-v)); } // sigmoid
        case 5u: { return v * (clamp(v + 3.0, vec4f(0.0), vec4f(6.0)) / 6.0); } // Hardswish
        default: { return further(v, activation, alpha, beta); }
    }
}

// v * slope. Of an infinity times 0, which is NaN, FXC makes 0 if the slope is compiled in.
fn scaled(v: vec4f, slope: f32) -> vec4f {
    let bits = bitcast<vec4u>(v);
    let is_infinite = (bits & vec4u(0x7fffffffu)) == vec4u(0x7f800000u);
    let is_zero = (bitcast<u32>(slope) & 0x7fffffffu) == 0u;
    return select(v * slope, bitcast<vec4f>(bits | vec4u(0x00400000u)), is_infinite & vec4<bool>(is_zero));
}
