// Where two walks over AXES common axes stand after a number of steps; the last axis, 0 here, moves first. Walks may go
// backwards: strides are counted modulo 2^32.

fn walks(step: u32) -> vec2u {
    var rest = step;
    var at = vec2u(params.a_offset, params.b_offset) + rest % params.extent_0 * vec2u(params.a_0, params.b_0);
    if AXES > 1u {
        rest /= params.extent_0;
        at += rest % params.extent_1 * vec2u(params.a_1, params.b_1);
    }
    if AXES > 2u {
        rest /= params.extent_1;
        at += rest % params.extent_2 * vec2u(params.a_2, params.b_2);
    }
    if AXES > 3u {
        rest /= params.extent_2;
        at += rest % params.extent_3 * vec2u(params.a_3, params.b_3);
    }
    if AXES > 4u {
        rest /= params.extent_3;
        at += rest % params.extent_4 * vec2u(params.a_4, params.b_4);
    }
    if AXES > 5u {
        rest /= params.extent_4;
        at += rest % params.extent_5 * vec2u(params.a_5, params.b_5);
    }
    return at;
}
