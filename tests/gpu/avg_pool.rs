//! Average pooling: windows at every edge, padding that counts and padding that does not.

use spp_wgpu::Shape;
use spp_wgpu::ops::{AvgPool, Padding};

use crate::graphs::same_conv;
use crate::harness::{Data, check, check_bits, graph, random, with_specials};

fn pools() -> Vec<AvgPool> {
    let pool = AvgPool::new;
    let ceil = AvgPool { ceil_mode: true, ..pool([3, 3]) };
    let pools = [
        pool([1, 1]),
        pool([2, 2]),
        pool([3, 2]),
        AvgPool { stride: [1, 1], padding: Padding::symmetric(1, 1), ..pool([3, 3]) },
        AvgPool { stride: [1, 1], padding: Padding::symmetric(2, 2), ..pool([3, 3]) },
        AvgPool { stride: [3, 2], ..pool([2, 2]) },
        AvgPool { padding: Padding { top: 1, left: 0, bottom: 0, right: 2 }, ..pool([3, 4]) },
        AvgPool { dilation: [2, 3], stride: [1, 1], padding: Padding::symmetric(1, 2), ..pool([3, 2]) },
        AvgPool { stride: [2, 2], ..ceil },
        AvgPool { stride: [2, 2], padding: Padding::symmetric(1, 1), ..ceil },
        AvgPool { stride: [3, 3], padding: Padding { top: 0, left: 1, bottom: 2, right: 1 }, ..ceil },
        AvgPool { stride: [1, 1], padding: Padding::symmetric(6, 6), ..pool([13, 13]) },
    ];
    pools.into_iter().flat_map(|pool| [pool, AvgPool { count_include_pad: false, ..pool }]).collect()
}

#[test]
fn agrees_with_the_reference_within_its_bound() {
    let shapes = [Shape::new(1, 1, 4, 6), Shape::new(2, 5, 7, 11), Shape::new(3, 8, 8, 5), Shape::new(1, 3, 13, 4)];
    for pool in pools() {
        for shape in shapes {
            let graph = graph(shape, |graph, x| graph.avg_pool("pool", x, pool).unwrap());
            for x in [random(shape, 4, Data::WideRange), with_specials(random(shape, 5, Data::Uniform))] {
                check(&format!("{pool:?} of {shape}"), &graph, &[x]);
            }
        }
    }
}

/// More taps than 32 bits count, nearly all of them in the padding. Of powers of two, so that an f16 holds their means.
#[test]
fn taps_beyond_32_bits_count() {
    let shape = Shape::new(1, 3, 2, 1);
    let pool = AvgPool { padding: Padding::symmetric(65_535, 65_535), ..AvgPool::new([65_536, 65_537]) };
    for pool in [pool, AvgPool { count_include_pad: false, ..pool }] {
        let graph = graph(shape, |graph, x| graph.avg_pool("pool", x, pool).unwrap());
        let mut x = random(shape, 2, Data::Uniform);
        x.data_mut().iter_mut().for_each(|v| *v = v.signum() * 32_768.0);
        check(&format!("{pool:?}"), &graph, &[x]);
    }
}

/// Divided by a power of two, or by one, sums of small integers are exact.
#[test]
fn integers_are_exact() {
    let shape = Shape::new(2, 6, 8, 4);
    for pool in [AvgPool::new([1, 1]), AvgPool::new([2, 2]), AvgPool { stride: [1, 1], ..AvgPool::new([4, 2]) }] {
        let graph = graph(shape, |graph, x| graph.avg_pool("pool", x, pool).unwrap());
        check_bits(&format!("{pool:?}"), &graph, &[random(shape, 3, Data::Integers)]);
    }
}

/// The mean of nothing is 0, not 0 / 0, which a later convolution would spread.
#[test]
fn the_mean_of_a_window_without_taps_is_zero() {
    let pool = AvgPool { dilation: [3, 3], padding: Padding::symmetric(1, 1), ..AvgPool::new([2, 2]) };
    for (count_include_pad, shape) in [(true, Shape::new(1, 1, 2, 2)), (false, Shape::new(1, 2, 2, 5))] {
        let pool = AvgPool { count_include_pad, stride: [1, 1], ..pool };
        let graph = graph(shape, |graph, x| {
            let other = graph.avg_pool("other", x, AvgPool::new([1, 1])).unwrap();
            let both = graph.concat("both", &[x, other]).unwrap();
            let pooled = graph.avg_pool("pool", both, pool).unwrap();
            graph.conv("conv", pooled, same_conv(3, 2 * shape.c, 1)).unwrap()
        });
        check(&format!("{pool:?} of {shape}"), &graph, &[random(shape, 1, Data::Uniform)]);
    }
}
