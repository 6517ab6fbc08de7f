// The maximum of values, by ordered keys.

alias Reduced = vec4u;

const REDUCED_NONE = ORDERED_LOWEST;

fn to_reduced(v: Stored) -> Reduced {
    return to_ordered(v);
}

fn reduced(a: Reduced, b: Reduced) -> Reduced {
    return max(a, b);
}

fn from_reduced(v: Reduced, count: u32) -> Stored {
    return from_ordered(v);
}
