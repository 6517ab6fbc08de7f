// The functions of ops::Activation that activation has not itself, by number. None cancels: near 0 and far below it,
// results are as exact relative to themselves as elsewhere.

fn further(v: vec4f, activation: u32, alpha: f32, beta: f32) -> vec4f {
    let low = vec4f(alpha);
    let high = vec4f(beta);
    switch activation {
        case 6u: { return select(v, low, v < low); } // clip from below
        case 7u: { return select(v, high, v > high); } // clip from above
        case 8u: { // clip
            let raised = select(v, low, v < low);
            return select(raised, high, raised > high);
        }
        case 9u: { return clamp(v * alpha + beta, vec4f(0.0), vec4f(1.0)); } // hard sigmoid
        case 10u: { return select(alpha * exp_minus_1(min(v, vec4f(0.0))), v, v > vec4f(0.0)); } // ELU
        case 11u: { // tanh
            let e = exp_minus_1(-2.0 * abs(v));
            let size = -e / (e + 2.0);
            return select(size, -size, v < vec4f(0.0));
        }
        case 12u: { return max(v, vec4f(0.0)) + log_plus_1(exp(-abs(v))); } // softplus
        case 13u: { // Mish: of e = exp(v), tanh(ln(1 + e)) is n / (n + 2) with n = e * (e + 2)
            let e = exp(min(v, vec4f(20.0)));
            let n = e * (e + 2.0);
            return v * (n / (n + 2.0));
        }
        case 14u: { // GELU
            let tail = 0.5 * erfc(abs(v) * 0.70710678);
            return v * select(tail, 1.0 - tail, v > vec4f(0.0));
        }
        case 15u: { return v / (1.0 + exp(-1.5957691 * v * (1.0 + 0.044715 * v * v))); } // GELU by tanh
        default: { return v; }
    }
}

// exp(v) - 1 for v up to 0: its series where the difference would cancel.
fn exp_minus_1(v: vec4f) -> vec4f {
    let is_small = (bitcast<vec4u>(v) & vec4u(0x7fffffffu)) < vec4u(0x3f000000u); // below 1/2
    var series = vec4f(1.0);
    series = 1.0 + v / 8.0 * series;
    series = 1.0 + v / 7.0 * series;
    series = 1.0 + v / 6.0 * series;
    series = 1.0 + v / 5.0 * series;
    series = 1.0 + v / 4.0 * series;
    series = 1.0 + v / 3.0 * series;
    series = 1.0 + v / 2.0 * series;
    return select(exp(v) - 1.0, v * series, is_small);
}

// ln(1 + e) for e from 0 to 1: twice the series of the inverse hyperbolic tangent, as WGSL's logarithm is only precise
// enough beside larger numbers.
fn log_plus_1(e: vec4f) -> vec4f {
    let s = e / (2.0 + e);
    let q = s * s;
    let last = 1.0 / 7.0 + q * (1.0 / 9.0 + q * (1.0 / 11.0 + q / 13.0));
    return 2.0 * s * (1.0 + q * (1.0 / 3.0 + q * (1.0 / 5.0 + q * last)));
}

// The complementary error function for z from 0 on, off by at most 1.2e-7 of itself (Numerical Recipes, erfcc).
fn erfc(z: vec4f) -> vec4f {
    let t = 1.0 / (1.0 + 0.5 * z);
    var p = t * 0.17087277 - 0.82215223;
    p = t * p + 1.48851587;
    p = t * p - 1.13520398;
    p = t * p + 0.27886807;
    p = t * p - 0.18628806;
    p = t * p + 0.09678418;
    p = t * p + 0.37409196;
    p = t * p + 1.00002368;
    return t * exp(t * p - z * z - 1.26551223);
}
