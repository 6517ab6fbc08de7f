// Reduction: y[i] = what a piece makes of x[at(i) + over(k)] for k below count. Both walks have up to three axes.
// A workgroup makes one result for each SHARES of its invocations, NEXT apart, which share its values and combine what
// they made of them in a tree: neighbours read side by side, be it values of one result or of neighbouring ones.
// Dispatch: ceil(len / (WG_SIZE / SHARES)) workgroups.
// Pieces from shared/: index; one of total_sum, total_product, total_order, total_place, total_exp;
//   with total_order: keys; with total_place: keys; with total_exp: keys; with total_exp: one of
//   weights_none, weights_table.
// Constants from Rust: WG_SIZE, SHARES, NEXT, KIND, OVER_AXES.

struct Params {
    len: u32,
    count: u32,
    x_offset: u32, // the first value that is walked over
    kept_1: u32, // extents, and strides: backwards, they wrap around
    kept_2: u32,
    kept_stride_0: u32,
    kept_stride_1: u32,
    kept_stride_2: u32,
    over_1: u32,
    over_2: u32,
    over_stride_0: u32,
    over_stride_1: u32,
    over_stride_2: u32,
    y_offset: u32, // first value, distance from image to image, values of an image
    y_stride: u32,
    y_image_len: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

var<workgroup> partial: array<Total, WG_SIZE>;

@compute @workgroup_size(WG_SIZE)
fn reduce(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    const MADE = WG_SIZE / SHARES;
    let share = lane / NEXT % SHARES;
    let index = workgroup_index(workgroup, workgroups) * MADE + select(lane % MADE, lane / SHARES, NEXT == 1u);
    let i = min(index, params.len - 1u);
    let begin = params.x_offset + i % params.kept_2 * params.kept_stride_2
        + i / params.kept_2 % params.kept_1 * params.kept_stride_1
        + i / params.kept_2 / params.kept_1 * params.kept_stride_0;

    var before = NOTHING;
    var total = gathered(begin, lane, before, 0u);
    if PASSES == 2u {
        before = total;
        total = gathered(begin, lane, before, 1u);
    }
    if share == 0u && index < params.len {
        let image = params.y_offset + i / params.y_image_len * params.y_stride;
        y[image + i % params.y_image_len] = made(total, before);
    }
}

// What an invocation and those that share its values make of them in one pass. Passes are calls: Direct3D's FXC refuses
// barriers in a loop that carries their result from one pass to the next.
fn gathered(begin: u32, lane: u32, before: Total, turn: u32) -> Total {
    let share = lane / NEXT % SHARES;
    var total = NOTHING;
    for (var k = share; k < params.count; k += SHARES) {
        total = joined(total, taken(x[begin + over(k)], k, before, turn), turn);
    }
    if SHARES > 1u {
        partial[lane] = total;
        for (var half = SHARES / 2u; half > 0u; half /= 2u) {
            workgroupBarrier();
            if share < half {
                partial[lane] = joined(partial[lane], partial[lane + half * NEXT], turn);
            }
        }
        workgroupBarrier();
        total = partial[lane - share * NEXT];
        workgroupBarrier();
    }
    return total;
}

fn over(k: u32) -> u32 {
    if OVER_AXES == 1u {
        return k * params.over_stride_2;
    }
    return k % params.over_2 * params.over_stride_2
        + k / params.over_2 % params.over_1 * params.over_stride_1
        + k / params.over_2 / params.over_1 * params.over_stride_0;
}
