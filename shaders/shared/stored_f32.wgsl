// Four channels in memory: as shaders compute with them.

alias Stored = vec4f;

fn loaded(v: Stored) -> vec4f {
    return v;
}

fn stored(v: vec4f) -> Stored {
    return v;
}
