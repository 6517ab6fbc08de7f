// Four vec4s, each loaded by itself.

fn load_four(i: vec4u) -> array<Stored, 4> {
    return array<Stored, 4>(load_x(i.x), load_x(i.y), load_x(i.z), load_x(i.w));
}
