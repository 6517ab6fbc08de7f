// As ordered, of 16-bit floats: as the upper halves of words, their bits lie in order as those of 32-bit floats do. Needs
// no type of 16 bits, and is exact: nothing is converted.

alias Stored = vec2u; // four channels in memory

const ORDERED_LOWEST = vec4u(0u); // -inf: what a window without a tap in the image yields
const ORDERED_ZERO = vec4u(0x7c000001u);
const OF_LOWEST = vec4u(0x83ffffffu); // -inf with its other bits turned

fn to_ordered(v: Stored) -> vec4u {
    let bits = vec4u(v.x << 16u, v.x & 0xffff0000u, v.y << 16u, v.y & 0xffff0000u);
    return turned(bits) - OF_LOWEST;
}

fn from_ordered(key: vec4u) -> Stored {
    let bits = turned(key + OF_LOWEST);
    return (bits.xz >> vec2u(16u)) | (bits.yw & vec2u(0xffff0000u));
}

// All bits but the sign turned, if that is set.
fn turned(bits: vec4u) -> vec4u {
    let signs = bitcast<vec4u>(bitcast<vec4i>(bits) >> vec4u(31u));
    return bits ^ (signs & vec4u(0x7fffffffu));
}
