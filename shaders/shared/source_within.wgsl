// Source and target are slices of one buffer, bound once: a dispatch may not bind it as both read and read_write.

fn load_x(i: u32) -> vec4f {
    return y[i];
}

fn load_four(i: vec4u) -> array<vec4f, 4> {
    return array<vec4f, 4>(load_x(i.x), load_x(i.y), load_x(i.z), load_x(i.w));
}
