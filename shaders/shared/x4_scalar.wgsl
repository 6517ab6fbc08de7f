// Four values side by side, beginning anywhere.

@group(0) @binding(0) var<storage, read> x: array<u32>;

fn load_x4(i: u32) -> vec4u {
    return vec4u(x[i], x[i + 1u], x[i + 2u], x[i + 3u]);
}
