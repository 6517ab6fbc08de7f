// Four values of x side by side in memory, 32 bits each.

alias QuadX = vec4u;

fn spread_x(quad: QuadX) -> vec4u {
    return quad;
}
