// What a convolution left in x in params.parts parts, params.part_len vec4s from each to the next: added up in order,
// then activated. Four at a time, so that an invocation waits for memory a quarter as often.

fn load_parts(i: vec4u) -> array<vec4f, 4> {
    var at = i;
    var a = x[at.x];
    var b = x[at.y];
    var c = x[at.z];
    var d = x[at.w];
    for (var p = 1u; p < params.parts; p++) {
        at += params.part_len;
        a += x[at.x];
        b += x[at.y];
        c += x[at.z];
        d += x[at.w];
    }
    return array<vec4f, 4>(
        activate(a, ACTIVATION, ALPHA, BETA),
        activate(b, ACTIVATION, ALPHA, BETA),
        activate(c, ACTIVATION, ALPHA, BETA),
        activate(d, ACTIVATION, ALPHA, BETA),
    );
}
