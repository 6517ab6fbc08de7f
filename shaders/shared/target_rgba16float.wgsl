// A texel of four halves.

@group(0) @binding(1) var y: texture_storage_2d_array<rgba16float, write>;

fn put(n: u32, row: u32, column: u32, color: vec4f) {
    textureStore(y, vec2u(column, row), n, color);
}
