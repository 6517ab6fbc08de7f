// A texel of four bytes.

@group(0) @binding(1) var y: texture_storage_2d_array<rgba8unorm, write>;

// The very byte over 255, so that no driver rounds in its own way. Needs unit.
fn put(n: u32, row: u32, column: u32, color: vec4f) {
    textureStore(y, vec2u(column, row), n, floor(unit(color) * 255.0 + 0.5) / 255.0);
}
