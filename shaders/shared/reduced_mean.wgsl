// The mean of values, by their sum.

alias Reduced = vec4f;

const REDUCED_NONE = vec4f(0.0);

fn to_reduced(v: Stored) -> Reduced {
    return loaded(v);
}

fn reduced(a: Reduced, b: Reduced) -> Reduced {
    return a + b;
}

fn from_reduced(v: Reduced, count: u32) -> Stored {
    return stored(v / f32(count));
}
