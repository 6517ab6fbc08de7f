// The first `count` of four values side by side, 16 bits each, beginning anywhere. Needs y_halves.

fn store_y4(i: u32, v: vec4u, count: u32) {
    store_y(i, v.x);
    if count > 1u {
        store_y(i + 1u, v.y);
    }
    if count > 2u {
        store_y(i + 2u, v.z);
    }
    if count > 3u {
        store_y(i + 3u, v.w);
    }
}
