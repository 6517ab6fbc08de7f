// The first `count` of four values side by side, beginning anywhere.

@group(0) @binding(1) var<storage, read_write> y: array<u32>;

fn store_y4(i: u32, v: vec4u, count: u32) {
    y[i] = v.x;
    if count > 1u {
        y[i + 1u] = v.y;
    }
    if count > 2u {
        y[i + 2u] = v.z;
    }
    if count > 3u {
        y[i + 3u] = v.w;
    }
}
