// A texel of a picture, by image, row and column: what its bytes are over 255, out of the light that sRGB means by
// them.

@group(0) @binding(4) var picture: texture_2d_array<f32>;

fn texel(n: u32, row: u32, column: u32) -> vec4f {
    let light = textureLoad(picture, vec2u(column, row), n, 0).rgb;
    let dark = light * 12.92;
    let bright = pow(light, vec3f(1.0 / 2.4)) * 1.055 - 0.055;
    // Where both meet, in bits: light is not negative.
    let value = select(bright, dark, bitcast<vec3u>(light) < vec3u(0x3b4d2e1cu));
    // To the very byte, whatever drivers make of it.
    return vec4f(floor(value * 255.0 + 0.5) / 255.0, 1.0);
}
