// The first `count` of four values side by side, 16 bits each, beginning anywhere. Needs y_halves.

fn store_y4(i: u32, v: vec4u, count: u32) {
    // As the halves of three words, whose first may not be ours.
    let odd = i % 2u;
    let halves = select(v, vec4u(0u, v.xyz), odd == 1u);
    let words = halves.xz | (halves.yw << vec2u(16u));
    let is_ours = vec4u(0u, 1u, 2u, 3u) - odd < vec4u(count);
    store_halves(i / 2u, words.x, is_ours.xy);
    store_halves(i / 2u + 1u, words.y, is_ours.zw);
    store_halves(i / 2u + 2u, v.w, vec2<bool>(odd == 1u && count > 3u, false));
}
