// Four lines, each loaded by itself.

fn load_lines(i: vec4u) -> array<vec4u, 4> {
    return array<vec4u, 4>(load_x4(i.x), load_x4(i.y), load_x4(i.z), load_x4(i.w));
}
