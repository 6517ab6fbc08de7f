// Four values of x side by side in memory, 16 bits each; spread, each is a word's lower half.

alias QuadX = vec2u;

fn spread_x(quad: QuadX) -> vec4u {
    return vec4u(quad.x & 0xffffu, quad.x >> 16u, quad.y & 0xffffu, quad.y >> 16u);
}
