// The bits of f32 to those of f16, in the lower halves of words: to the nearest, ties to even. In integers, because
// pack2x16float may cut off, and says nothing of what is too large.

fn to_halves(bits: vec4u) -> vec4u {
    let size = bits & vec4u(0x7fffffffu);
    // The last bit that stays decides over a tie.
    let normal = (size - vec4u(0x37fff001u) + ((size >> vec4u(13u)) & vec4u(1u))) >> vec4u(13u);
    // Added to a half, what is below the least normal number is rounded where its last bit is.
    let small = bitcast<vec4u>(bitcast<vec4f>(size) + 0.5) - vec4u(0x3f000000u);
    let finite = select(normal, small, size < vec4u(0x38800000u));
    let large = select(vec4u(0x7c00u), vec4u(0x7e00u), size > vec4u(0x7f800000u));
    return select(finite, large, size >= vec4u(0x477ff000u)) | ((bits >> vec4u(16u)) & vec4u(0x8000u));
}
