// The activations of ops::Activation, by number. Comparisons are false for NaN, so that NaN passes through.

const NONE: u32 = 0u;
const RELU: u32 = 1u;
const LEAKY_RELU: u32 = 2u;
const SILU: u32 = 3u;
const SIGMOID: u32 = 4u;

fn activate(v: vec4f) -> vec4f {
    if ACTIVATION == RELU {
        return select(v, vec4f(0.0), v < vec4f(0.0));
    }
    if ACTIVATION == LEAKY_RELU {
        return select(v, v * SLOPE, v < vec4f(0.0));
    }
    if ACTIVATION == SILU {
        return v / (1.0 + exp(-v));
    }
    if ACTIVATION == SIGMOID {
        return 1.0 / (1.0 + exp(-v));
    }
    return v;
}
