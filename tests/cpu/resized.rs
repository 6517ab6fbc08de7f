//! Graphs for inputs of other shapes.

use std::borrow::Cow;
use std::sync::Arc;

use spp_wgpu::case::canonical;
use spp_wgpu::ops::*;
use spp_wgpu::{Error, Graph, Result, Shape, Tensor, Weights, blocks};

use crate::graphs::{Data, random, same_conv};

/// Names, operations, operands, shapes and outputs.
fn text(graph: &Graph) -> Vec<String> {
    let nodes = graph.nodes().iter().map(|node| {
        let inputs: Vec<usize> = node.inputs.iter().map(|id| id.index()).collect();
        format!("{} {} {inputs:?} {}", node.name, node.op, node.shape)
    });
    let outputs = graph.outputs().iter().map(|(name, id)| format!("{name} {}", id.index()));
    nodes.chain(outputs).collect()
}

#[test]
fn published_blocks_are_resized_as_if_they_were_built_anew() {
    let mut refused = Vec::new();
    for row in canonical().unwrap() {
        let weights = Weights::seeded(0);
        let build = |shape| blocks::build(&row.block, &row.args, shape, &weights.scope(""));
        let graph = build(row.shape).unwrap();
        assert_eq!(text(&graph.resized(&[row.shape]).unwrap()), text(&graph), "{}", row.name);
        for shape in [
            Shape { n: 3, ..row.shape },
            Shape { h: row.shape.h + 3, w: row.shape.w + 8, ..row.shape },
            Shape { n: 0, h: row.shape.h * 2, ..row.shape },
        ] {
            match (build(shape), graph.resized(&[shape])) {
                (Ok(built), Ok(resized)) => assert_eq!(text(&resized), text(&built), "{} at {shape}", row.name),
                // RFBNet's priors, which are not of the graph, are those of one size.
                (Err(_), Ok(_)) if row.block == "rfbnet" && (shape.h, shape.w) != (row.shape.h, row.shape.w) => {}
                (Err(_), Err(error)) => refused.push(format!("{}: {error}", row.name)),
                (built, resized) => panic!("{} at {shape}: {:?}, {:?}", row.name, built.err(), resized.err()),
            }
        }
    }
    // The pyramid of the published code cannot split any map.
    assert!(refused.iter().all(|refused| refused.contains("pyramid_pool")), "{refused:#?}");
}

fn resizing(like: bool) -> Result<Graph> {
    let mut graph = Graph::new();
    let x = graph.input("x", Shape::new(1, 4, 8, 6))?;
    let small = graph.max_pool("small", x, MaxPool { stride: [2, 2], ..MaxPool::same(3) })?;
    let large = if like {
        graph.resize_like("large", small, x, ResizeMode::Bilinear)?
    } else {
        graph.resize("large", small, Resize { out_h: 8, out_w: 6, mode: ResizeMode::Bilinear })?
    };
    let y = graph.add("sum", x, large, Add { scale: 1.0, activation: Activation::None })?;
    graph.output("y", y)?;
    Ok(graph)
}

#[test]
fn a_resize_like_another_node_follows_it_and_a_fixed_one_does_not() {
    let shape = Shape::new(2, 4, 11, 9);
    let [follows, fixed] = [true, false].map(|like| resizing(like).unwrap());
    assert_eq!(text(&follows), text(&fixed));
    // Also what was resized or cloned before.
    for graph in [follows.clone(), follows.resized(&[Shape::new(1, 4, 5, 5)]).unwrap(), follows] {
        let resized = graph.resized(&[shape]).unwrap();
        assert!(resized.nodes().iter().filter(|node| node.name != "small").all(|node| node.shape == shape));
    }
    let error = fixed.resized(&[shape]).unwrap_err();
    assert!(matches!(&error, Error::ShapeMismatch { .. }), "{error}");
    assert!(
        ["sum", "[2, 4, 11, 9]", "[2, 4, 8, 6]", "large"].iter().all(|part| error.to_string().contains(part)),
        "{error}"
    );
}

/// A network that paints over its picture, and one of a video.
fn seeing(shape: Shape) -> Result<Graph> {
    let mut graph = Graph::new();
    let seen = Texture::letterbox(8, 8);
    let picture = graph.picture("frame", shape, Texels::Rgba8)?;
    let x = graph.texture("seen", &[picture], seen)?;
    let paint = Paint { through: Some(seen), ..Paint::new(shape.h, shape.w, Paints::heat([0.0, 1.0])) };
    let shown = graph.paint("shown", &[x, picture], paint)?;
    graph.output("shown", shown)?;
    let video = graph.nv12_input("video", [shape.h, shape.w], seen)?;
    let alone = graph.paint("alone", &[video], Paint::new(8, 8, Paints::heat([0.0, 1.0])))?;
    graph.output("alone", alone)?;
    Ok(graph)
}

#[test]
fn pictures_take_other_sizes_and_what_is_painted_over_them_follows() {
    let planes =
        |h, w| [Shape::new(1, 4, h, w), Shape::new(1, 1, h, w), Shape::new(1, 2, h.div_ceil(2), w.div_ceil(2))];
    let graph = seeing(Shape::new(1, 4, 12, 20)).unwrap();
    for (h, w) in [(12, 20), (7, 30), (33, 5)] {
        let built = seeing(Shape::new(1, 4, h, w)).unwrap();
        assert_eq!(text(&graph.resized(&planes(h, w)).unwrap()), text(&built), "{h}x{w}");
    }
    let [_, luma, chroma] = planes(7, 30);
    let error = graph.resized(&[Shape::new(1, 3, 7, 30), luma, chroma]).unwrap_err();
    assert!(error.to_string().contains("picture 'frame'"), "{error}");
}

#[test]
fn what_has_one_size_only_is_refused_by_name() {
    let mut graph = Graph::new();
    let x = graph.input("x", Shape::new(1, 4, 3, 3)).unwrap();
    let weight = random(Shape::new(5, 36, 1, 1), 1, Data::Uniform).into();
    let y = graph.linear("fc", x, Linear { weight, bias: None, activation: Activation::None }).unwrap();
    graph.output("y", y).unwrap();
    assert_eq!(graph.resized(&[Shape::new(7, 4, 3, 3)]).unwrap().outputs().len(), 1, "a batch is no feature");
    let error = |shapes: &[Shape]| graph.resized(shapes).unwrap_err();
    let features = error(&[Shape::new(1, 4, 3, 4)]);
    assert!(matches!(&features, Error::ShapeMismatch { op, .. } if op == "linear 'fc'"), "{features}");
    assert!(features.to_string().contains("expects 36 input features, got 48"), "{features}");
    for shapes in [&[][..], &[Shape::new(1, 4, 3, 3); 2]] {
        assert!(error(shapes).to_string().contains("the graph has 1 inputs"), "{}", error(shapes));
    }
    assert!(matches!(error(&[Shape::new(1, 0, 3, 3)]), Error::InvalidParam { param: "c", .. }));
}

/// Weights are no copies: of one node, of its clones and of other sizes.
#[test]
fn graphs_of_all_sizes_share_their_weights() {
    let mut graph = Graph::new();
    let x = graph.input("x", Shape::new(1, 4, 8, 6)).unwrap();
    let y = graph.conv("y", x, same_conv(4, 4, 3)).unwrap();
    graph.output("y", y).unwrap();
    let weight = |graph: &Graph| match &graph.nodes()[1].op {
        Op::Conv(conv) => conv.weight.clone(),
        other => panic!("{other}"),
    };
    let resized = graph.resized(&[Shape::new(1, 4, 5, 5)]).unwrap();
    assert!(weight(&graph) == weight(&resized) && weight(&graph) == weight(&graph.clone()));
    assert!(std::ptr::eq(&*weight(&graph).data(), &*weight(&resized).data()), "a copy");
}

#[test]
fn one_files_tensor_is_one_weight_and_is_not_copied() {
    let shape = Shape::new(2, 3, 1, 1);
    let tensors = || [("c.weight".to_string(), vec![2, 3, 1, 1], vec![1.0; 6])];
    let of = |weights: &Weights| weights.scope("").conv_weight("c", shape).unwrap();
    let [one, other] = [(), ()].map(|()| Weights::from_tensors(tensors()).unwrap());
    assert!(of(&one) == of(&one) && of(&one) == of(&one.clone()), "the same key of the same file");
    assert!(of(&one) == of(&one.clone().renamed("c", "d").unwrap().renamed("d", "c").unwrap()));
    assert!(of(&one) != of(&other), "equal numbers of two files may change apart");
    let kept = of(&one);
    drop(one);
    assert!(matches!(kept.data(), Cow::Borrowed(data) if *data == [1.0; 6]));
    let [seven, eight] = [7, 8].map(Weights::seeded);
    assert!(of(&seven) == of(&seven) && of(&seven) != of(&eight));
    let tensor = Arc::new(Tensor::filled(shape, 1.0).unwrap());
    assert!(Weight::from(Arc::clone(&tensor)) == Weight::from(tensor));
}

/// A picture that is read, and painted over; planes of NV12; a tensor, which is painted alone.
fn with_pictures([n, h, w]: [u32; 3]) -> Result<Graph> {
    let mut graph = Graph::new();
    let picture = graph.picture("picture", Shape::new(n, 4, h, w), Texels::Rgba8)?;
    let luma = graph.picture("y", Shape::new(n, 1, h, w), Texels::R8)?;
    let chroma = graph.picture("uv", Shape::new(n, 2, h.div_ceil(2), w.div_ceil(2)), Texels::Rg8)?;
    let x = graph.input("x", Shape::new(n, 3, h, w))?;
    let seen = Texture { crop: Some(Rect { top: 1, left: 2, h: 5, w: 6 }), ..Texture::letterbox(8, 8) };
    for (name, planes) in [("seen", &[picture][..]), ("planes", &[luma, chroma])] {
        let seen = graph.texture(name, planes, seen)?;
        graph.output(name, seen)?;
    }
    let over = Paint { through: Some(seen), opacity: 0.5, ..Paint::new(h, w, Paints::heat([0.0, 1.0])) };
    let over = graph.paint("over", &[x, picture], over)?;
    graph.output("over", over)?;
    let alone = graph.paint("alone", &[x], Paint::new(30, 40, Paints::classes(3)))?;
    graph.output("alone", alone)?;
    Ok(graph)
}

#[test]
fn pictures_are_inputs_that_are_resized_and_what_is_painted_over_them_follows() {
    let graph = with_pictures([1, 9, 11]).unwrap();
    for size in [[1, 9, 11], [2, 9, 11], [0, 6, 8], [3, 24, 17]] {
        let built = with_pictures(size).unwrap();
        let shapes: Vec<Shape> = built.inputs().map(|(_, node)| node.shape).collect();
        assert_eq!(text(&graph.resized(&shapes).unwrap()), text(&built), "{size:?}");
    }
    let refused = |h, w, uv: [u32; 2], expected: &str| {
        let [uv_h, uv_w] = uv;
        let shapes = [[4, h, w], [1, h, w], [2, uv_h, uv_w], [3, h, w]].map(|[c, h, w]| Shape::new(1, c, h, w));
        let error = graph.resized(&shapes).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}, expected '{expected}'");
    };
    refused(9, 7, [5, 4], "must be a part of the picture of 9x7");
    refused(20, 30, [5, 6], "must be [1, 2, 10, 15]");
    let wrong = graph.resized(&[Shape::new(1, 3, 9, 11); 4]).unwrap_err();
    assert!(matches!(wrong, Error::ShapeMismatch { .. }), "{wrong}");
}
