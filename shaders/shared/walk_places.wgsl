// The value at step i of a walk whose axes move to places that a table holds, or have none.

@group(0) @binding(3) var<storage, read> places: array<u32>;

fn walked(i: u32, begin: u32, fill: u32) -> u32 {
    var rest = i;
    var at = begin;
    for (var axis = AXES; axis > 0u; axis--) {
        let leg = params.legs[axis - 1u];
        let place = places[leg.step + rest % leg.extent];
        if place == 0xffffffffu {
            return fill;
        }
        at += place;
        rest /= leg.extent;
    }
    return bits_at(at);
}
