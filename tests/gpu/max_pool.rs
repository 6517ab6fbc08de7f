//! Max pooling is exact, NaN and infinities included.

use spp_wgpu::ops::{Conv, MaxPool, Padding};
use spp_wgpu::{Shape, Tensor};

use crate::graphs::same_conv;
use crate::harness::{Data, check_bits, graph, random, with_specials};

#[test]
fn bits_equal_the_reference() {
    let pool = MaxPool::new;
    let pools = [
        pool([2, 2]),
        pool([3, 2]),
        MaxPool { stride: [1, 1], padding: Padding::symmetric(1, 1), ..pool([3, 3]) },
        MaxPool { stride: [3, 2], ..pool([2, 2]) },
        MaxPool { padding: Padding { top: 1, left: 0, bottom: 0, right: 2 }, ..pool([3, 4]) },
        MaxPool { dilation: [2, 3], stride: [1, 1], padding: Padding::symmetric(1, 1), ..pool([3, 2]) },
        MaxPool { dilation: [2, 3], padding: Padding::symmetric(2, 3), ..MaxPool::same(3) },
        MaxPool { ceil_mode: true, ..pool([2, 2]) },
        MaxPool { ceil_mode: true, stride: [2, 2], padding: Padding::symmetric(1, 1), ..pool([3, 3]) },
        MaxPool { ceil_mode: true, stride: [3, 3], ..pool([2, 2]) },
        MaxPool::same(5),
        MaxPool::same(13),
        MaxPool::same(4),
    ];
    let shapes = [Shape::new(1, 1, 4, 6), Shape::new(2, 5, 7, 11), Shape::new(3, 8, 8, 5), Shape::new(1, 3, 13, 4)];
    for pool in pools {
        for shape in shapes {
            let graph = graph(shape, |graph, x| graph.max_pool("pool", x, pool).unwrap());
            for x in [random(shape, 4, Data::WideRange), with_specials(random(shape, 5, Data::Uniform))] {
                check_bits(&format!("{pool:?} of {shape}"), &graph, &[x]);
            }
        }
    }
}

/// A window whose taps all miss the image yields -inf, as in PyTorch.
#[test]
fn a_window_without_taps_is_negative_infinity() {
    let shape = Shape::new(1, 2, 2, 2);
    let pool = MaxPool { dilation: [3, 3], stride: [1, 1], padding: Padding::symmetric(1, 1), ..MaxPool::new([2, 2]) };
    let graph = graph(shape, |graph, x| graph.max_pool("pool", x, pool).unwrap());
    check_bits("no tap", &graph, &[random(shape, 1, Data::Uniform)]);
}

/// In the padding of channels such a window must not leave -inf: a convolution after it would turn it into NaN.
#[test]
fn a_window_without_taps_leaves_padding_lanes_zero() {
    let shape = Shape::new(1, 1, 2, 2);
    let pool = MaxPool { dilation: [3, 3], stride: [1, 1], padding: Padding::symmetric(1, 1), ..MaxPool::new([2, 2]) };
    let alone = graph(shape, |graph, x| {
        let pooled = graph.max_pool("pool", x, pool).unwrap();
        graph.conv("conv", pooled, same_conv(3, 1, 1)).unwrap()
    });
    check_bits("a single channel", &alone, &[random(shape, 1, Data::Uniform)]);
    // Weights of one sign: -inf of both channels adds up.
    let ones = Tensor::filled(Shape::new(3, 2, 1, 1), 1.0).unwrap();
    let gaps = graph(shape, |graph, x| {
        let other = graph.max_pool("other", x, MaxPool::same(1)).unwrap();
        let both = graph.concat("both", &[x, other]).unwrap();
        let pooled = graph.max_pool("pool", both, pool).unwrap();
        graph.conv("conv", pooled, Conv::new(ones)).unwrap()
    });
    check_bits("between gaps", &gaps, &[random(shape, 1, Data::Uniform)]);
}
