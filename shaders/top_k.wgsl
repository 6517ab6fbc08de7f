// The indices of a row's largest or smallest values, in order: y[o, t, i] = j where x[o, j, i] is the t-th; of equal
// values, the first j comes first, and NaN is the largest.
// A workgroup makes one row. Values and indices are keys, all different, of which the larger comes first. The last one
// that is taken is found by counting, eight bits at a time from the top; then all from it on are collected, and each is
// put where so many are larger. What atomics count and collect is the same in any order.
// Dispatch: rows workgroups.
// Pieces from shared/: index, images.
// Constants from Rust: WG_SIZE, LARGEST.

struct Params {
    rows: u32,
    len: u32, // values of a row
    inner: u32, // from value to value of it
    k: u32,
    x_offset: u32,
    y_offset: u32, // first value, values from image to image, values of an image
    y_stride: u32,
    y_image: u32,
}

@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

// Of the last key that is taken.
struct Last {
    digits: vec2u, // as far as they are found
    wanted: u32, // keys that are still to be taken among those with these digits
    found: u32, // 1: all of these are taken, whatever digits follow
}

var<workgroup> counts: array<atomic<u32>, 256>; // of keys by their next digit
var<workgroup> sixteens: array<u32, 16>; // of these together
var<workgroup> last: Last;
var<workgroup> taken: atomic<u32>;
var<workgroup> keys: array<vec2u, 1024>; // those that are taken

@compute @workgroup_size(WG_SIZE)
fn top_k(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = workgroup_index(workgroup, workgroups);
    if row >= params.rows {
        return;
    }
    let outer = row / params.inner;
    let first = params.x_offset + outer * params.len * params.inner + row % params.inner;
    if lane == 0u {
        last = Last(vec2u(0u), params.k, 0u);
        atomicStore(&taken, 0u);
    }

    var known = vec2u(0u); // bits of the digits that are found
    for (var turn = 0u; turn < 7u; turn++) {
        for (var digit = lane; digit < 256u; digit += WG_SIZE) {
            atomicStore(&counts[digit], 0u);
        }
        workgroupBarrier();
        let so_far = last;
        let in_value = turn < 4u;
        let shift = select(48u, 24u, in_value) - 8u * turn;
        let len = select(params.len, 0u, so_far.found == 1u);
        for (var j = lane; j < len; j += WG_SIZE) {
            let key = key_of(x[first + j * params.inner], j);
            if all((key & known) == so_far.digits) {
                atomicAdd(&counts[select(key.y, key.x, in_value) >> shift & 255u], 1u);
            }
        }
        workgroupBarrier();
        if lane < 16u {
            var sum = 0u;
            for (var i = 0u; i < 16u; i++) {
                sum += atomicLoad(&counts[lane * 16u + i]);
            }
            sixteens[lane] = sum;
        }
        workgroupBarrier();
        for (var digit = lane; digit < 256u; digit += WG_SIZE) {
            var larger = 0u;
            for (var i = digit / 16u + 1u; i < 16u; i++) {
                larger += sixteens[i];
            }
            for (var i = digit + 1u; i < (digit / 16u + 1u) * 16u; i++) {
                larger += atomicLoad(&counts[i]);
            }
            let count = atomicLoad(&counts[digit]);
            // True of one digit; of none once it is found.
            if larger < so_far.wanted && so_far.wanted <= larger + count {
                let wanted = so_far.wanted - larger;
                let place = vec2u(select(0u, digit << shift, in_value), select(digit << shift, 0u, in_value));
                last = Last(so_far.digits | place, wanted, u32(wanted == count));
            }
        }
        known |= vec2u(select(0u, 255u << shift, in_value), select(255u << shift, 0u, in_value));
        workgroupBarrier();
    }

    let least = last.digits;
    for (var j = lane; j < params.len; j += WG_SIZE) {
        let key = key_of(x[first + j * params.inner], j);
        if !is_larger(least, key) {
            keys[atomicAdd(&taken, 1u)] = key;
        }
    }
    workgroupBarrier();
    for (var t = lane; t < params.k; t += WG_SIZE) {
        let key = keys[t];
        var larger = 0u;
        for (var other = 0u; other < params.k; other++) {
            larger += u32(is_larger(keys[other], key));
        }
        let value = (outer * params.k + larger) * params.inner + row % params.inner;
        y[y_at(value)] = f32(LAST_INDEX - key.y);
    }
}

const LAST_INDEX = 0xffffffu;

// The value as an integer in the same order, or the opposite one, and the index from the end.
fn key_of(bits: u32, j: u32) -> vec2u {
    let number = select(bits, 0u, bits == 0x80000000u); // zeros are equal
    let ascending = number ^ (bitcast<u32>(bitcast<i32>(number) >> 31u) | 0x80000000u);
    let key = select(ascending, 0xffffffffu, (bits & 0x7fffffffu) > 0x7f800000u);
    return vec2u(select(~key, key, LARGEST), LAST_INDEX - j);
}

fn is_larger(a: vec2u, b: vec2u) -> bool {
    return a.x > b.x || (a.x == b.x && a.y > b.y);
}
