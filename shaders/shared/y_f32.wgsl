// Four values of y side by side in memory, 32 bits each.

alias QuadY = vec4u;

fn joined_y(v: vec4u) -> QuadY {
    return v;
}
