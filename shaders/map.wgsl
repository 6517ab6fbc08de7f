// A formula of one to three operands, each with strides of its own: y[i, j, …] = computed(a[i, j, …], b[i, j, …], …).
// What `computed` is, Rust writes, out of the functions in shared/functions.wgsl.
// One invocation makes four values that follow each other along the last axis: of a map in NHWC, four channels.
// Dispatch: ceil(len / WG_SIZE) workgroups.
// Pieces from shared/: index, functions, activation, functions_all;
//   one of values_1, values_2, values_3, pixels_1, pixels_2, pixels_3;
//   with values_1: values; with values_2: values; with values_3: values;
//   with pixels_1: lanes; with pixels_2: lanes; with pixels_3: lanes;
//   with pixels_1: one of stored_f32, stored_f16, stored_packed;
//   with pixels_2: one of stored_f32, stored_f16, stored_packed;
//   with pixels_3: one of stored_f32, stored_f16, stored_packed; with stored_packed: rounding.
// Constants from Rust: WG_SIZE, AXES, NUMBERS.

struct Sizes {
    len: u32, // fours to write
    valid: u32, // values along the last axis
    y_offset: u32, // from here on in values or, in NHWC, in vec4s
    a_offset: u32,
    b_offset: u32,
    c_offset: u32,
    y_step: u32, // from value to value along the last axis; not in NHWC
    a_step: u32,
    b_step: u32,
    c_step: u32,
    unused_0: u32,
    unused_1: u32,
}

// An axis, and how far apart its neighbours are; the first is the outermost, and the last one's are fours.
struct Leg {
    extent: u32,
    y: u32,
    a: u32,
    b: u32,
    c: u32,
    unused_0: u32,
    unused_1: u32,
    unused_2: u32,
}

// Four numbers of the formula.
struct Numbers {
    x: f32,
    y: f32,
    z: f32,
    w: f32,
}

struct Params {
    sizes: array<Sizes, 1>,
    legs: array<Leg, AXES>,
    numbers: array<Numbers, NUMBERS>,
}

// Where the first of four values lies in the result and in each operand, and its number along the last axis.
struct Places {
    y: u32,
    a: u32,
    b: u32,
    c: u32,
    first: u32,
}

@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(WG_SIZE)
fn map(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = workgroup_index(workgroup, workgroups) * WG_SIZE + lane;
    let sizes = params.sizes[0];
    if i >= sizes.len {
        return;
    }
    var rest = i;
    var at = vec4u(sizes.y_offset, sizes.a_offset, sizes.b_offset, sizes.c_offset);
    for (var axis = AXES - 1u; axis > 0u; axis--) {
        let leg = params.legs[axis];
        at += rest % leg.extent * vec4u(leg.y, leg.a, leg.b, leg.c);
        rest /= leg.extent;
    }
    let outermost = params.legs[0];
    at += rest * vec4u(outermost.y, outermost.a, outermost.b, outermost.c);
    let first = i % params.legs[AXES - 1u].extent * 4u;
    let places = Places(at.x, at.y, at.z, at.w, first);
    put(places, computed(places));
}
