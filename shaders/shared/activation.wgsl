// The activations of ops::Activation, by number. Comparisons are false for NaN, so that NaN passes through.

const NONE: u32 = 0u;
const RELU: u32 = 1u;
const LEAKY_RELU: u32 = 2u;
const SILU: u32 = 3u;
const SIGMOID: u32 = 4u;

fn activate(v: vec4f, activation: u32, slope: f32) -> vec4f {
    switch activation {
        case RELU: {
            return select(v, vec4f(0.0), v < vec4f(0.0));
        }
        case LEAKY_RELU: {
            return select(v, v * slope, v < vec4f(0.0));
        }
        case SILU: {
            return v / (1.0 + exp(-v));
        }
        case SIGMOID: {
            // Some drivers' exp turns NaN into a number; its bits tell NaN everywhere.
            let nan = (bitcast<vec4u>(v) & vec4u(0x7fffffffu)) > vec4u(0x7f800000u);
            return select(1.0 / (1.0 + exp(-v)), v, nan);
        }
        default: {
            return v;
        }
    }
}
