// As ordered, of 16-bit floats: as the upper halves of words, their bits lie in order as those of 32-bit floats do.
// Exact: nothing is converted. Needs stored_packed, on devices that have a type of 16 bits, too.

const ORDERED_LOWEST = vec4u(0u); // -inf: what a window without a tap in the image yields
const ORDERED_ZERO = vec4u(0x7c000001u);
const OF_LOWEST = vec4u(0x83ffffffu); // -inf with its other bits turned

fn to_ordered(v: Stored) -> vec4u {
    let bits = vec4u(v.x << 16u, v.x & 0xffff0000u, v.y << 16u, v.y & 0xffff0000u);
    return turned(bits) - OF_LOWEST;
}

fn from_ordered(key: vec4u) -> Stored {
    let bits = bits_of(key);
    return bits.xz | (bits.yw << vec2u(16u));
}

// One by one, in the lower halves of words.
fn bits_of(key: vec4u) -> vec4u {
    return turned(key + OF_LOWEST) >> vec4u(16u);
}

// All bits but the sign turned, if that is set.
fn turned(bits: vec4u) -> vec4u {
    let signs = bitcast<vec4u>(bitcast<vec4i>(bits) >> vec4u(31u));
    return bits ^ (signs & vec4u(0x7fffffffu));
}
