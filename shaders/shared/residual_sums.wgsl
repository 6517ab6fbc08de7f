// What is added to a convolution's sum: the sum so far, not rounded.

alias Residual = vec4f;

fn residual_of(v: Residual) -> vec4f {
    return v;
}
