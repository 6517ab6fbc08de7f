// Four values side by side, 8 bits each, beginning anywhere.

@group(0) @binding(0) var<storage, read> x: array<u32>;

// Past the last word, that one again: what it stands for is beyond the extent.
fn load_x4(i: u32) -> vec4u {
    let at = vec4u(i) + vec4u(0u, 1u, 2u, 3u);
    let words = min(at / 4u, vec4u(arrayLength(&x) - 1u));
    return (vec4u(x[words.x], x[words.y], x[words.z], x[words.w]) >> (at % 4u * 8u)) & vec4u(0xffu);
}
