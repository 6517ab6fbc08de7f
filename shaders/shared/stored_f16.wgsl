// Four channels in memory: 16 bits each.

alias Stored = vec4<f16>;

fn loaded(v: Stored) -> vec4f {
    return vec4f(v);
}

fn stored(v: vec4f) -> Stored {
    return Stored(v);
}
