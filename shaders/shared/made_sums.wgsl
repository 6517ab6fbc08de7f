// Results of convolutions that are still to be added up, or converted to outputs: not rounded.

alias Made = vec4f;

fn made(v: vec4f) -> Made {
    return v;
}
