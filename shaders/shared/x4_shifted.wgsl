// Four values side by side, beginning anywhere: from two vec4s, which is less to read than four values one by one.

@group(0) @binding(0) var<storage, read> x: array<QuadX>;

// Past the last vec4, that one again: what it stands for is beyond the extent.
fn load_x4(i: u32) -> vec4u {
    let v = spread_x(x[i / 4u]);
    let w = spread_x(x[min(i / 4u + 1u, arrayLength(&x) - 1u)]);
    let by_1 = select(v, vec4u(v.yzw, w.x), (i & 1u) != 0u);
    let then = select(w.xy, w.yz, (i & 1u) != 0u);
    return select(by_1, vec4u(by_1.zw, then), (i & 2u) != 0u);
}
