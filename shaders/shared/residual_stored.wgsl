// What is added to a convolution's sum, as other tensors lie in memory.

alias Residual = Stored;

fn residual_of(v: Residual) -> vec4f {
    return loaded(v);
}
