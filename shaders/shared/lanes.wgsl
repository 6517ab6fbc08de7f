// Channels are padded to a multiple of four; padding lanes always hold zero.

fn keep_lanes(v: vec4f, first: u32, count: u32) -> vec4f {
    return select(vec4f(0.0), v, is_channel(first, count));
}

fn is_channel(first: u32, count: u32) -> vec4<bool> {
    return vec4u(first) + vec4u(0u, 1u, 2u, 3u) < vec4u(count);
}
