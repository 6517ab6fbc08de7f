//! Output extents of windows against PyTorch's, and random attributes.

use proptest::prelude::*;
use spp_wgpu::ops::*;
use spp_wgpu::{DeviceClass, DeviceProfile, Error, Graph, NodeId, Plan, PlanOptions, Shape, Tensor};

use crate::graphs::{affine, same_conv};

const fn pad(top: u32, left: u32, bottom: u32, right: u32) -> Padding {
    Padding { top, left, bottom, right }
}

const POOL: MaxPool = MaxPool::new([2, 2]);
const CEIL: MaxPool = MaxPool { ceil_mode: true, ..POOL };

/// Rows and columns of the input, the pool, rows and columns of the output by the formula of PyTorch's documentation;
/// asymmetric padding as after `F.pad` with -inf.
#[rustfmt::skip]
const POOLS: &[([u32; 2], MaxPool, [u32; 2])] = &[
    ([6, 5], POOL, [3, 2]),
    ([1, 1], MaxPool::new([1, 1]), [1, 1]),
    ([20, 20], MaxPool::same(5), [20, 20]),
    ([20, 13], MaxPool::same(13), [20, 13]),
    ([1, 2], MaxPool::same(13), [1, 2]), // smaller than the window
    ([20, 7], MaxPool::same(4), [21, 8]), // an even kernel grows the map by one
    ([7, 11], MaxPool { kernel: [3, 2], stride: [5, 3], ..POOL }, [1, 4]), // stride larger than the kernel
    ([7, 9], MaxPool { kernel: [3, 3], stride: [1, 2], dilation: [2, 3], ..POOL }, [3, 2]),
    ([5, 5], MaxPool { padding: pad(1, 0, 0, 1), ..POOL }, [3, 3]),
    ([5, 6], MaxPool { padding: pad(0, 0, 1, 1), stride: [1, 1], ..POOL }, [5, 6]),
    // Ceil mode: (in + pads - window + stride - 1) / stride + 1, rounded down ...
    ([5, 6], CEIL, [3, 3]),
    ([7, 8], MaxPool { kernel: [3, 3], ..CEIL }, [3, 4]),
    ([75, 75], CEIL, [38, 38]), // pool3 of RFBNet's VGG
    ([2, 2], MaxPool { kernel: [3, 3], ..CEIL }, [1, 1]), // the only window sticks out
    // ... less one where the last window starts in the padding. ONNX's backend tests have these two, as
    // maxpool_2d_ceil_output_size_reduce_by_one and averagepool_2d_ceil_last_window_starts_on_pad:
    ([2, 2], MaxPool { kernel: [1, 1], ..CEIL }, [1, 1]),
    ([2, 2], MaxPool { kernel: [3, 3], stride: [3, 3], padding: pad(1, 1, 1, 1), ..CEIL }, [1, 1]),
    // Counted from the padding: windows at 0 and 3 stay in 1 + 3 rows; of those at 0, 3 and 6 the last starts after
    // 1 + 4 columns.
    ([3, 4], MaxPool { stride: [3, 3], padding: pad(1, 1, 1, 1), ..CEIL }, [2, 2]),
    ([2, 5], MaxPool { stride: [3, 3], padding: pad(1, 1, 1, 1), ..CEIL }, [1, 2]),
    // Windows at 0 and 3 stay in 1 + 4 rows; of those at 0 and 2 the last starts after 2 columns.
    ([4, 2], MaxPool { kernel: [3, 2], stride: [3, 2], padding: pad(1, 0, 1, 1), ..CEIL }, [2, 1]),
];

/// As `Conv2d(2, 3, kernel, stride, padding, dilation)` on a map of `input` rows and columns.
struct Window {
    input: [u32; 2],
    kernel: [u32; 2],
    stride: [u32; 2],
    padding: Padding,
    dilation: [u32; 2],
    expected: [u32; 2],
}

#[rustfmt::skip]
const CONV: Window = Window {
    input: [6, 5], kernel: [3, 3], stride: [1, 1], padding: pad(0, 0, 0, 0), dilation: [1, 1], expected: [4, 3],
};

#[rustfmt::skip]
const CONVS: &[Window] = &[
    CONV,
    Window { input: [1, 1], kernel: [1, 1], expected: [1, 1], ..CONV },
    Window { padding: pad(1, 1, 1, 1), expected: [6, 5], ..CONV },
    Window { padding: pad(1, 1, 1, 1), stride: [2, 2], expected: [3, 3], ..CONV },
    Window { input: [38, 38], padding: pad(1, 1, 1, 1), stride: [2, 2], expected: [19, 19], ..CONV },
    Window { kernel: [3, 1], padding: pad(1, 0, 1, 0), expected: [6, 5], ..CONV },
    Window { kernel: [1, 3], padding: pad(0, 1, 0, 1), expected: [6, 5], ..CONV },
    Window { padding: pad(2, 3, 2, 3), dilation: [2, 3], stride: [3, 2], expected: [2, 3], ..CONV },
    // ASPP: rates up to and past the border
    Window { padding: pad(6, 6, 6, 6), dilation: [6, 6], expected: [6, 5], ..CONV },
    Window { padding: pad(24, 24, 24, 24), dilation: [24, 24], expected: [6, 5], ..CONV },
    // Even kernels: conv1 and conv2 of the SPP-net; padding on one side only
    Window { input: [224, 180], kernel: [4, 4], stride: [2, 2], padding: pad(1, 1, 1, 1), expected: [112, 90], ..CONV },
    Window { input: [112, 90], kernel: [4, 4], padding: pad(1, 1, 1, 1), expected: [111, 89], ..CONV },
    Window { kernel: [2, 2], padding: pad(0, 0, 1, 1), expected: [6, 5], ..CONV },
    // Stride larger than the kernel
    Window { kernel: [2, 2], stride: [4, 3], expected: [2, 2], ..CONV },
    Window { kernel: [1, 1], stride: [7, 7], expected: [1, 1], ..CONV },
    // Padding larger than the kernel, which a pool refuses
    Window { kernel: [1, 1], padding: pad(3, 0, 0, 2), expected: [9, 7], ..CONV },
];

#[test]
fn windows_give_pytorchs_extents() {
    let mut failures = Vec::new();
    for n in [0, 1, 3] {
        for ([h, w], pool, [out_h, out_w]) in POOLS {
            let (x, expected) = (Shape::new(n, 2, *h, *w), Shape::new(n, 2, *out_h, *out_w));
            let got = pool.output_shape("pool", x);
            if !matches!(got, Ok(y) if y == expected) {
                failures.push(format!("{x} {pool:?}: {got:?}, not {expected}"));
            }
        }
        for &Window { input: [h, w], kernel, stride, padding, dilation, expected: [out_h, out_w] } in CONVS {
            let (x, expected) = (Shape::new(n, 2, h, w), Shape::new(n, 3, out_h, out_w));
            let weight = Tensor::filled(Shape::new(3, 2, kernel[0], kernel[1]), 0.0).unwrap();
            let got = Conv { stride, padding, dilation, ..Conv::new(weight) }.output_shape("conv", x);
            if !matches!(got, Ok(y) if y == expected) {
                let conv = format!("{kernel:?} {stride:?} {padding:?} {dilation:?}");
                failures.push(format!("{x} {conv}: {got:?}, not {expected}"));
            }
        }
    }
    assert!(failures.is_empty(), "{} rows failed:\n{}", failures.len(), failures.join("\n"));
}

/// Counts windows one by one, as long as they fit into the padded axis; in ceil mode as long as the one before left
/// part of it uncovered and they start before the padding after the image.
fn counted(extent: u32, kernel: u32, stride: u32, dilation: u32, before: u32, after: u32, ceil_mode: bool) -> u32 {
    let window = (kernel - 1) * dilation + 1;
    let padded = extent + before + after;
    let fits = |i: &u32| {
        let start = i * stride;
        start + window <= padded || ceil_mode && start + window < padded + stride && start < extent + before
    };
    (0..=padded).take_while(fits).count() as u32
}

fn attribute() -> impl Strategy<Value = u32> {
    const EDGES: [u32; 8] = [46_341, 65_536, 1 << 30, i32::MAX as u32, 1 << 31, (1 << 31) + 1, u32::MAX - 1, u32::MAX];
    prop_oneof![4 => 0..=5_u32, 1 => prop::sample::select(&EDGES[..]), 1 => any::<u32>()]
}

fn shape() -> impl Strategy<Value = Shape> {
    prop::array::uniform4(attribute()).prop_map(|[n, c, h, w]| Shape::new(n, c, h, w))
}

#[test]
#[cfg_attr(not(debug_assertions), ignore = "the release profile has no overflow checks")]
fn tests_run_with_overflow_checks() {
    let most = std::hint::black_box(u32::MAX);
    assert!(std::panic::catch_unwind(|| most + 1).is_err());
}

/// Up to as many values as a tensor may have, most of them along any axis.
fn large_shape() -> impl Strategy<Value = Shape> {
    let extent = || (0..31_u32, -1..=1_i64).prop_map(|(bits, more)| ((1 << bits) + more).max(1) as u32);
    let fits = |[n, c, h, w]: [u32; 4]| {
        let mut room = i32::MAX as u32;
        let [h, w, c, n] = [h, w, c, n].map(|extent| {
            let extent = extent.min(room);
            room /= extent;
            extent
        });
        Shape::new(n, c, h, w)
    };
    prop::array::uniform4(extent()).prop_map(fits)
}

/// Devices that nobody makes, among others.
fn device() -> impl Strategy<Value = DeviceProfile> {
    let class = prop::sample::select(&[DeviceClass::Discrete, DeviceClass::Integrated, DeviceClass::Software][..]);
    const BYTES: &[u64] = &[0, 1 << 27, u32::MAX as u64, 1 << 33, u64::MAX];
    let bytes = || prop::sample::select(BYTES);
    let count = || prop::sample::select(&[0, 1, 8, 256, 16_384, 65_535, u32::MAX][..]);
    let lanes = prop::sample::select(&[None, Some([4; 2]), Some([8; 2]), Some([32; 2]), Some([0, u32::MAX])][..]);
    (class, bytes(), bytes(), prop::array::uniform4(count()), lanes).prop_map(
        |(class, binding, buffer, counts, lanes)| DeviceProfile {
            max_binding: binding,
            max_buffer: buffer,
            max_workgroups: counts[0],
            max_invocations: counts[1],
            workgroup_memory: counts[2],
            max_storage_buffers: counts[3],
            subgroups: lanes,
            ..DeviceProfile::portable(class)
        },
    )
}

/// One more operation on `x`, if it has a meaning there.
fn extended(graph: &mut Graph, i: usize, x: NodeId, op: usize, a: [u32; 6], flag: bool) -> Result<NodeId, Error> {
    let [p, q, r, s, t, u] = a;
    let (name, shape) = (format!("{i}"), graph.shape(x)?);
    let padding = pad(t, u, u, t);
    let is_small = shape.c <= 64;
    match op {
        0 => {
            let pool = MaxPool { kernel: [p, q], stride: [r, s], padding, dilation: [s, r], ceil_mode: flag };
            graph.max_pool(name, x, pool)
        }
        1 => {
            let pool = AvgPool { kernel: [p, q], stride: [r, s], padding, dilation: [s, r], ..AvgPool::new([1, 1]) };
            graph.avg_pool(name, x, AvgPool { ceil_mode: flag, ..pool })
        }
        2 => graph.max_pool_cascade(name, x, MaxPoolCascade { kernel: p, times: q.min(9) }),
        3 => graph.layout(name, x, Layout { width: if flag { shape.c } else { p } }),
        4 => {
            let mode = if flag { ResizeMode::Bilinear } else { ResizeMode::Nearest };
            graph.resize(name, x, Resize { out_h: p, out_w: q, mode })
        }
        5 => {
            let kind = if flag { GlobalPoolKind::Average } else { GlobalPoolKind::Max };
            graph.global_pool(name, x, GlobalPool { kind })
        }
        6 => {
            let axes = [SoftmaxAxis::Columns, SoftmaxAxis::Channels, SoftmaxAxis::Values { len: q, inner: r }];
            graph.softmax(name, x, Softmax { axis: axes[p as usize % 3], log: flag })
        }
        7 => graph.concat(name, &[x, x, x]),
        8 => graph.add(name, x, x, Add { scale: 1.0, activation: Activation::Sigmoid }),
        9 if is_small => graph.affine_activation(name, x, affine(shape.c, Activation::Silu)),
        10 if is_small => {
            let (stride, dilation) = ([r, s], [p, q]);
            let conv = same_conv(t % 40 + 1, shape.c, u % 3 + 1);
            graph.conv(name, x, Conv { stride, dilation, padding, ..conv })
        }
        _ if is_small => graph.conv(name, x, same_conv(shape.c, shape.c, 3)),
        _ => Ok(x),
    }
}

proptest! {
    #[test]
    fn small_windows_are_as_many_as_can_be_counted(
        extent in 1..=12_u32,
        (kernel, stride, dilation) in (1..=5_u32, 1..=5_u32, 1..=4_u32),
        (before, after) in (0..=2_u32, 0..=2_u32),
        ceil_mode: bool,
    ) {
        let (before, after) = (before.min(kernel / 2), after.min(kernel / 2));
        let pool = MaxPool {
            kernel: [1, kernel],
            stride: [1, stride],
            padding: pad(0, before, 0, after),
            dilation: [1, dilation],
            ceil_mode,
        };
        let got = pool.output_shape("pool", Shape::new(1, 1, 1, extent)).map_or(0, |y| y.w);
        prop_assert_eq!(got, counted(extent, kernel, stride, dilation, before, after, ceil_mode));
    }

    /// Overflow checks are on in tests: a rule that wraps is a rule that panics.
    #[test]
    fn no_attribute_makes_a_shape_rule_panic(
        x in shape(),
        other in shape(),
        a in prop::array::uniform6(attribute()),
        sides in prop::array::uniform4(attribute()),
        flag: bool,
        real: f32,
    ) {
        let [p, q, r, s, t, u] = a;
        let padding = pad(sides[0], sides[1], sides[2], sides[3]);
        let (stride, dilation) = ([p, q], [r, s]);
        let activation = Activation::LeakyRelu(real);
        // A weight is real memory, so its extents stay small.
        let weight = Tensor::filled(Shape::new(p % 6, q % 5 + 1, t % 4 + 1, u % 4 + 1), real).unwrap();
        let fitting = Shape { c: weight.shape().c, ..x };
        let conv = Conv { stride, padding, dilation, ..Conv::new(weight.clone()) };
        let pool = MaxPool { kernel: [t, u], stride, padding, dilation, ceil_mode: flag };
        let kind = if flag { GlobalPoolKind::Average } else { GlobalPoolKind::Max };
        let mode = if flag { ResizeMode::Bilinear } else { ResizeMode::Nearest };
        let bins = if flag { PyramidMode::Padded } else { PyramidMode::Adaptive };

        let shapes = [
            x.check("x"),
            conv.output_shape("y", fitting),
            Conv { groups: t, activation, scale: real, ..conv }.output_shape("y", x),
            pool.output_shape("y", x),
            MaxPool { padding: pad(0, 0, 0, 0), ..pool }.output_shape("y", x),
            MaxPool::same(t).output_shape("y", x),
            MaxPoolCascade { kernel: t, times: u }.output_shape("y", x),
            PyramidPool { levels: a.to_vec(), mode: bins }.output_shape("y", x),
            PyramidPool { levels: vec![p], mode: bins }.output_shape("y", x),
            Concat.output_shape("y", &[("x".into(), x), ("fitting".into(), fitting)]),
            Concat.output_shape("y", &[("x".into(), x), ("other".into(), other)]),
            Linear { weight: weight.into(), bias: None, activation }.output_shape("y", x),
            GlobalPool { kind }.output_shape("y", x),
            Resize { out_h: p, out_w: q, mode }.output_shape("y", x),
            Layout { width: p }.output_shape("y", x),
        ];
        for y in shapes.into_iter().flatten() {
            prop_assert!(y.check("y").is_ok(), "{y} has no meaning");
        }
        // These keep their input's shape, which a graph has checked.
        let axis = if flag { SoftmaxAxis::Columns } else { SoftmaxAxis::Values { len: p, inner: q } };
        let _ = Add { scale: real, activation }.output_shape("y", [("x", x), ("other", other)]);
        let _ = AffineActivation::activation(p % 6, activation).output_shape("y", x);
        let _ = Softmax::new(axis).output_shape("y", x);
    }

    #[test]
    fn no_attribute_makes_a_graph_panic(x in shape(), a in prop::array::uniform6(attribute()), ceil_mode: bool) {
        let [p, q, r, s, t, u] = a;
        let mut graph = Graph::new();
        if let Ok(x) = graph.input("x", x) {
            let padding = pad(t, u, u, t);
            let pool = MaxPool { kernel: [p, q], stride: [r, s], padding, dilation: [s, r], ceil_mode };
            let cascade = graph.max_pool_cascade("cascade", x, MaxPoolCascade { kernel: p, times: q }).unwrap_or(x);
            let pooled = graph.max_pool("pool", cascade, pool).unwrap_or(cascade);
            let rows = graph.layout("layout", pooled, Layout { width: r }).unwrap_or(pooled);
            let y = graph.concat("concat", &[rows, rows, rows]).unwrap_or(rows);
            graph.output("y", y).unwrap();
            let _ = graph.check();
            prop_assert!(graph.nodes().iter().all(|node| node.shape.check("node").is_ok()));
        }
    }

    /// Costs and plans of chains of operations on maps so large that padding, or strides one after the other, leave 32
    /// bits and even 64.
    #[test]
    fn no_attribute_makes_a_plan_panic(
        shape in large_shape(),
        device in device(),
        operations in prop::collection::vec((0..12_usize, prop::array::uniform6(attribute()), any::<bool>()), 1..7),
        unfused: bool,
    ) {
        let mut graph = Graph::new();
        let mut x = graph.input("x", shape).unwrap();
        for (i, (op, a, flag)) in operations.into_iter().enumerate() {
            x = extended(&mut graph, i, x, op, a, flag).unwrap_or(x);
        }
        graph.output("y", x).unwrap();
        let _ = graph.cost();
        let options = if unfused { PlanOptions::unfused() } else { PlanOptions::default() };
        if let Ok(plan) = Plan::new(&graph, &device, &options) {
            let _ = (plan.to_string(), plan.to_dot());
            prop_assert!(plan.buffers.iter().all(|buffer| buffer.bytes() <= device.max_binding.min(device.max_buffer)));
        }
    }
}
