// Four values of y side by side in memory, 16 bits each, from the lower halves of words.

alias QuadY = vec2u;

fn joined_y(v: vec4u) -> QuadY {
    return v.xz | (v.yw << vec2u(16u));
}
