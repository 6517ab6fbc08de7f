// The value at step i of a walk whose axes all move by equal steps, backwards where these wrap around.

fn walked(i: u32, begin: u32, fill: u32) -> u32 {
    var rest = i;
    var at = begin;
    for (var axis = AXES - 1u; axis > 0u; axis--) {
        let leg = params.legs[axis];
        at += rest % leg.extent * leg.step;
        rest /= leg.extent;
    }
    return bits_at(at + rest * params.legs[0].step);
}
