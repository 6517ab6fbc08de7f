//! Reordering keeps every bit: rows of scores, graph borders, dense concatenations.

use spp_wgpu::Shape;
use spp_wgpu::ops::{Layout, MaxPool, Softmax, SoftmaxAxis};

use crate::harness::{Data, SHAPES, check_bits_on_both, check_on_both, graph, random, with_specials};

#[test]
fn an_input_that_is_an_output_comes_back() {
    for shape in SHAPES {
        let graph = graph(shape, |_, x| x);
        check_bits_on_both(&shape.to_string(), &graph, &[with_specials(random(shape, 1, Data::WideRange))]);
    }
}

#[test]
fn to_nhwc_and_back() {
    for shape in SHAPES {
        let graph = graph(shape, |graph, x| graph.max_pool("same", x, MaxPool::new([1, 1])).unwrap());
        check_bits_on_both(&shape.to_string(), &graph, &[with_specials(random(shape, 1, Data::WideRange))]);
    }
}

#[test]
fn rows_of_every_width() {
    for [n, h, w] in [[1, 1, 1], [2, 3, 5]] {
        for (channels, width) in [(1, 1), (6, 1), (6, 2), (6, 3), (6, 6), (84, 21), (24, 4), (5, 5)] {
            let shape = Shape::new(n, channels, h, w);
            let graph = graph(shape, |graph, x| graph.layout("rows", x, Layout { width }).unwrap());
            check_bits_on_both(&format!("{shape} in rows of {width}"), &graph, &[random(shape, 2, Data::WideRange)]);
        }
    }
}

/// Like the heads of a detector: rows of several maps, one after the other, then softmax.
#[test]
fn rows_of_several_maps_follow_each_other() {
    let shape = Shape::new(2, 9, 6, 4);
    let graph = graph(shape, |graph, x| {
        let half = graph.max_pool("half", x, MaxPool::new([2, 2])).unwrap();
        let most = graph.max_pool("most", x, MaxPool::new([6, 4])).unwrap();
        let rows = [x, half, most].map(|map| {
            let name = format!("{}.rows", graph.node(map).unwrap().name);
            graph.layout(name, map, Layout { width: 3 }).unwrap()
        });
        let rows = graph.concat("rows", &rows).unwrap();
        graph.output("rows", rows).unwrap();
        graph.softmax("softmax", rows, Softmax::new(SoftmaxAxis::Columns)).unwrap()
    });
    check_on_both("heads", &graph, &[random(shape, 3, Data::Uniform)]);
}

#[test]
fn rows_may_become_a_map_again() {
    let shape = Shape::new(2, 10, 3, 2);
    let graph = graph(shape, |graph, x| {
        let rows = graph.layout("rows", x, Layout { width: 5 }).unwrap();
        let pooled = graph.max_pool("pool", rows, MaxPool::new([1, 2])).unwrap();
        graph.layout("again", pooled, Layout { width: 3 }).unwrap()
    });
    check_bits_on_both("rows of rows", &graph, &[with_specials(random(shape, 4, Data::WideRange))]);
}
