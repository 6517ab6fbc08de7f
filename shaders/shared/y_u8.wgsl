// Four values of y side by side in memory, 8 bits each, from words.

alias QuadY = u32;

fn joined_y(v: vec4u) -> QuadY {
    return v.x | (v.y << 8u) | (v.z << 16u) | (v.w << 24u);
}
