// The source is what a convolution left in parts, each of dense pixels. Sums are rounded to what is stored before they
// are compared, as if they had been stored first.

@group(0) @binding(2) var<storage, read> x: array<vec4f>;

// Of the same channels of four pixels.
fn load_four(i: vec4u) -> array<Stored, 4> {
    let first = i.x % params.channels4 * 4u;
    let v = load_parts(i);
    return array<Stored, 4>(
        stored(keep_lanes(v[0], first, params.channels)),
        stored(keep_lanes(v[1], first, params.channels)),
        stored(keep_lanes(v[2], first, params.channels)),
        stored(keep_lanes(v[3], first, params.channels)),
    );
}
