// What a convolution left in x in PARTS parts, PART_LEN vec4s from each to the next: added up in order, then
// activated.

fn load_parts(i: u32) -> vec4f {
    var sum = x[i];
    for (var p = 1u; p < PARTS; p++) {
        sum += x[i + p * PART_LEN];
    }
    return activate(sum, ACTIVATION, SLOPE);
}
