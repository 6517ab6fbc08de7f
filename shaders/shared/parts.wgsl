// What a convolution left in x in params.parts parts, params.part_len vec4s from each to the next: added up in order,
// then activated.

fn load_parts(i: u32) -> vec4f {
    var sum = x[i];
    for (var p = 1u; p < params.parts; p++) {
        sum += x[i + p * params.part_len];
    }
    return activate(sum, ACTIVATION, SLOPE);
}
