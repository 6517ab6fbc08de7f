// The functions of ops::Function, each lane by itself. Floats are told apart and compared by their bits: maxima may
// drop NaN, compilers make maxima of comparisons, and some drivers make numbers of NaN.

fn size_of(v: vec4f) -> vec4u {
    return bitcast<vec4u>(v) & vec4u(0x7fffffffu);
}

fn is_nan(v: vec4f) -> vec4<bool> {
    return size_of(v) > vec4u(0x7f800000u);
}

fn is_infinite(v: vec4f) -> vec4<bool> {
    return size_of(v) == vec4u(0x7f800000u);
}

fn is_zero(v: vec4f) -> vec4<bool> {
    return size_of(v) == vec4u(0u);
}

fn is_one(v: vec4f) -> vec4<bool> {
    return bitcast<vec4u>(v) == vec4u(0x3f800000u);
}

// Below zero.
fn is_negative(v: vec4f) -> vec4<bool> {
    let bits = bitcast<vec4u>(v);
    return (bits > vec4u(0x80000000u)) & (bits <= vec4u(0xff800000u));
}

fn has_sign(v: vec4f) -> vec4<bool> {
    return bitcast<vec4u>(v) >= vec4u(0x80000000u);
}

fn is_whole(v: vec4f) -> vec4<bool> {
    return in_order(floor_of(v)) == in_order(v);
}

// Integers in the same order, both zeros alike; of no use for NaN.
fn in_order(v: vec4f) -> vec4i {
    let size = vec4i(size_of(v));
    return select(size, -size, has_sign(v));
}

fn nan_where(there: vec4<bool>, v: vec4f) -> vec4f {
    return select(v, bitcast<vec4f>(bitcast<vec4u>(v) | vec4u(0x7fc00000u)), there);
}

fn infinite_like(v: vec4f) -> vec4f {
    return bitcast<vec4f>((bitcast<vec4u>(v) & vec4u(0x80000000u)) | vec4u(0x7f800000u));
}

fn truth(there: vec4<bool>) -> vec4f {
    return select(vec4f(0.0), vec4f(1.0), there);
}

fn splat(v: vec4f) -> vec4f {
    return vec4f(v.x);
}

fn neg_of(v: vec4f) -> vec4f {
    return bitcast<vec4f>(bitcast<vec4u>(v) ^ vec4u(0x80000000u));
}

fn abs_of(v: vec4f) -> vec4f {
    return bitcast<vec4f>(size_of(v));
}

fn sign_of(v: vec4f) -> vec4f {
    let one = bitcast<vec4f>((bitcast<vec4u>(v) & vec4u(0x80000000u)) | vec4u(0x3f800000u));
    return select(one, v, is_zero(v) | is_nan(v));
}

fn exp_of(v: vec4f) -> vec4f {
    return select(exp(v), v, is_nan(v));
}

fn log_of(v: vec4f) -> vec4f {
    let usual = select(log(v), v, is_infinite(v) | is_nan(v));
    return nan_where(is_negative(v), select(usual, neg_of(infinite_like(abs_of(v))), is_zero(v)));
}

fn sqrt_of(v: vec4f) -> vec4f {
    let negative = is_negative(v);
    return nan_where(negative, select(sqrt(v), v, is_zero(v) | is_infinite(v) | is_nan(v) | negative));
}

fn reciprocal_of(v: vec4f) -> vec4f {
    return 1.0 / v;
}

// Below 1, a polynomial of the square; above, 1 less the exponential of one. Both were interpolated at Chebyshev's
// nodes, and are off by less than 1e-7 of the result in f32. From 4 on, it is 1.
fn erf_of(v: vec4f) -> vec4f {
    let t = bitcast<vec4f>(min(size_of(v), vec4u(0x40800000u)));
    let s = t * t;
    var near = vec4f(7.8758749e-5);
    near = near * s - 8.0168643e-4;
    near = near * s + 5.1890872e-3;
    near = near * s - 2.6854211e-2;
    near = near * s + 1.12835944e-1;
    near = near * s - 3.7612626e-1;
    near = near * s + 1.28379166e-1;
    near = near * t + t;
    var far = vec4f(1.6371514e-6);
    far = far * t - 4.6058041e-5;
    far = far * t + 5.9680565e-4;
    far = far * t - 4.7595962e-3;
    far = far * t + 2.6421135e-2;
    far = far * t - 1.10080086e-1;
    far = far * t - 6.3182604e-1;
    far = far * t - 1.13023341;
    far = 1.0 - exp(far * t + 3.2013806e-4);
    let result = select(far, near, size_of(v) < vec4u(0x3f800000u));
    let signed = bitcast<vec4f>(bitcast<vec4u>(result) | (bitcast<vec4u>(v) & vec4u(0x80000000u)));
    return select(signed, v, is_nan(v));
}

// From 2^23 on, all are whole, or no numbers.
fn is_large(v: vec4f) -> vec4<bool> {
    return size_of(v) >= vec4u(0x4b000000u);
}

fn floor_of(v: vec4f) -> vec4f {
    return select(floor(v), v, is_large(v));
}

fn ceil_of(v: vec4f) -> vec4f {
    return select(ceil(v), v, is_large(v));
}

fn round_of(v: vec4f) -> vec4f {
    return select(round(v), v, is_large(v));
}

fn trunc_of(v: vec4f) -> vec4f {
    return select(trunc(v), v, is_large(v));
}

fn sin_of(v: vec4f) -> vec4f {
    let turned = bitcast<vec4u>(turned_by(size_of(v), 0u)) ^ (bitcast<vec4u>(v) & vec4u(0x80000000u));
    return nan_where(is_infinite(v) | is_nan(v), bitcast<vec4f>(turned));
}

fn cos_of(v: vec4f) -> vec4f {
    return nan_where(is_infinite(v) | is_nan(v), turned_by(size_of(v), 1u));
}

// The sine of an angle, and of so many right angles more. WGSL's own may be off by 2^-11, and beyond pi by anything.
// Whole right angles are taken off in three steps, with ever lower bits of pi / 2; the first two products are exact as
// long as there are few of them. Polynomials of Cephes (sinf, cosf), off by less than 1e-7.
fn turned_by(angle: vec4u, right_angles: u32) -> vec4f {
    let size = bitcast<vec4f>(min(angle, vec4u(0x7f7fffffu)));
    let whole = round_of(size * 0.63661977);
    var r = size - whole * 1.5703125;
    r -= whole * 4.837513e-4;
    r -= whole * 7.54979e-8;
    // Of a large angle, what is left may be anything: no more than 0.8, results stay between -1 and 1.
    r = bitcast<vec4f>(min(size_of(r), vec4u(0x3f4ccccdu)) | (bitcast<vec4u>(r) & vec4u(0x80000000u)));
    let s = r * r;
    let sine = r + r * s * (-1.6666655e-1 + s * (8.332161e-3 - s * 1.9515296e-4));
    let cosine = 1.0 + s * (-0.5 + s * (4.1666646e-2 + s * (-1.3887316e-3 + s * 2.4433157e-5)));
    let turns = vec4u(whole) + right_angles;
    let value = select(sine, cosine, (turns & vec4u(1u)) == vec4u(1u));
    return bitcast<vec4f>(bitcast<vec4u>(value) ^ ((turns & vec4u(2u)) << vec4u(30u)));
}

fn not_of(v: vec4f) -> vec4f {
    return truth(is_zero(v));
}

fn add_of(a: vec4f, b: vec4f) -> vec4f {
    return a + b;
}

fn sub_of(a: vec4f, b: vec4f) -> vec4f {
    return a - b;
}

fn mul_of(a: vec4f, b: vec4f) -> vec4f {
    return a * b;
}

fn div_of(a: vec4f, b: vec4f) -> vec4f {
    return a / b;
}

// WGSL's pow may be no number where x is negative, and where a logarithm is infinite.
fn pow_of(x: vec4f, y: vec4f) -> vec4f {
    let size = abs_of(x);
    let log_of_zero = neg_of(infinite_like(size));
    let logarithm = select(select(log2(size), size, is_infinite(size)), log_of_zero, is_zero(size));
    let power = select(exp2(y * logarithm), vec4f(1.0), is_one(size));
    let whole = is_whole(y);
    let odd = whole & !is_whole(y * 0.5) & !is_infinite(y);
    let turned = select(power, neg_of(power), has_sign(x) & odd);
    let no_number = is_nan(x) | is_nan(y) | (is_negative(x) & !is_infinite(x) & !whole);
    return select(nan_where(no_number, turned), vec4f(1.0), is_zero(y) | is_one(x));
}

fn min_of(a: vec4f, b: vec4f) -> vec4f {
    let least = select(b, a, in_order(a) <= in_order(b));
    return select(select(least, a, is_nan(a)), b, is_nan(b));
}

fn max_of(a: vec4f, b: vec4f) -> vec4f {
    let most = select(b, a, in_order(a) >= in_order(b));
    return select(select(most, a, is_nan(a)), b, is_nan(b));
}

// Rounded, a quotient may be a whole number too large or too small.
fn mod_of(a: vec4f, b: vec4f) -> vec4f {
    var left = a - trunc_of(a / b) * b;
    let further = bitcast<vec4f>(size_of(b) | (bitcast<vec4u>(left) & vec4u(0x80000000u)));
    left = select(left, left - further, size_of(left) >= size_of(b));
    left = select(left, left + b, !is_zero(left) & (has_sign(left) != has_sign(b)));
    let alike = is_zero(a) | (has_sign(a) == has_sign(b));
    let of_infinite = nan_where(is_infinite(a) | is_nan(a), select(b, a, alike));
    return select(left, of_infinite, is_infinite(b));
}

fn prelu_of(x: vec4f, slope: vec4f) -> vec4f {
    return select(x, x * slope, is_negative(x));
}

fn equal_of(a: vec4f, b: vec4f) -> vec4f {
    return truth((in_order(a) == in_order(b)) & !is_nan(a) & !is_nan(b));
}

fn less_of(a: vec4f, b: vec4f) -> vec4f {
    return truth((in_order(a) < in_order(b)) & !is_nan(a) & !is_nan(b));
}

fn less_or_equal_of(a: vec4f, b: vec4f) -> vec4f {
    return truth((in_order(a) <= in_order(b)) & !is_nan(a) & !is_nan(b));
}

fn and_of(a: vec4f, b: vec4f) -> vec4f {
    return truth(!is_zero(a) & !is_zero(b));
}

fn or_of(a: vec4f, b: vec4f) -> vec4f {
    return truth(!is_zero(a) | !is_zero(b));
}

fn where_of(condition: vec4f, a: vec4f, b: vec4f) -> vec4f {
    return select(a, b, is_zero(condition));
}
