// Four values side by side, beginning anywhere.

@group(0) @binding(0) var<storage, read> x: array<u32>;

// Past the last value, that one again: what it stands for is beyond the extent.
fn load_x4(i: u32) -> vec4u {
    let at = min(vec4u(i) + vec4u(0u, 1u, 2u, 3u), vec4u(arrayLength(&x) - 1u));
    return vec4u(x[at.x], x[at.y], x[at.z], x[at.w]);
}
