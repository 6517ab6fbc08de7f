// A texel of a picture, by image, row and column: what its bytes are over 255, or halves as they are.

@group(0) @binding(4) var picture: texture_2d_array<f32>;

fn texel(n: u32, row: u32, column: u32) -> vec4f {
    return textureLoad(picture, vec2u(column, row), n, 0);
}
