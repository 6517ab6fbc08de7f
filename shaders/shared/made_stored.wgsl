// Results of convolutions, as other tensors lie in memory.

alias Made = Stored;

fn made(v: vec4f) -> Made {
    return stored(v);
}
