// Four values of x side by side in memory, 8 bits each; spread, each is a word.

alias QuadX = u32;

fn spread_x(quad: QuadX) -> vec4u {
    return (vec4u(quad) >> vec4u(0u, 8u, 16u, 24u)) & vec4u(0xffu);
}
