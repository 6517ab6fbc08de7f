//! What becomes of models: how many dispatches, with which sizes, and what is said of those that are not supported.

use std::path::PathBuf;

use rten_onnx::onnx::{AttributeProto, DataType, Dimension, GraphProto, NodeProto, TypeProto, ValueInfoProto};
use spp_wgpu::onnx::{ElementType, Elements, Model, Options, Value};
use spp_wgpu::ops::Activation;
use spp_wgpu::{DeviceClass, DeviceProfile, Error, Op, Plan, PlanOptions, Shape, Tensor, reference};

use crate::onnx_files::{int, integers, ints, model, node, tensor, text, value};

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/models/{name}.onnx"))
}

/// A model of the folder, of as many rows and columns as it was made for.
fn stored(name: &str) -> Model {
    let mut options = Options::default();
    if name == "split_stage" {
        options.sizes = [("height".into(), 32), ("width".into(), 40)].into();
    }
    Model::load(file(name), &options).unwrap()
}

fn planned(model: &Model, options: &PlanOptions) -> Plan {
    Plan::new(&model.graph, &DeviceProfile::portable(DeviceClass::Discrete), options).unwrap()
}

/// Kernels between the conversions of input and outputs.
fn stems(model: &Model) -> Vec<&'static str> {
    let plan = planned(model, &PlanOptions::default());
    plan.steps.iter().map(|step| step.shader.stem).filter(|stem| *stem != "layout").collect()
}

/// The nodes of the file, dispatches without passes, and with them.
const DISPATCHES: [(&str, [usize; 3]); 30] = [
    ("activations", [30, 29, 16]),
    ("anchor_head", [86, 60, 29]),
    ("anchor_head_in_place", [320, 72, 35]),
    ("attention", [20, 16, 14]),
    ("cspsppf", [29, 25, 8]),
    ("deeplab", [77, 68, 35]),
    ("densenet", [44, 50, 30]),
    ("distance_head", [189, 63, 27]),
    ("distance_head_dynamo", [69, 58, 22]),
    ("end_to_end_head", [122, 65, 29]),
    ("focus", [10, 2, 1]),
    ("gate", [16, 19, 12]),
    ("lraspp", [58, 57, 34]),
    ("mobilenet", [62, 51, 31]),
    ("resnet", [24, 23, 11]),
    ("rfb", [24, 25, 6]),
    ("shufflenet", [77, 71, 48]),
    ("simcspsppf", [22, 25, 8]),
    ("simsppf", [11, 13, 4]),
    ("spelt", [33, 13, 7]),
    ("split_stage", [32, 20, 9]),
    ("split_stage_dynamo", [25, 19, 8]),
    ("spp", [13, 13, 4]),
    ("sppcspc", [29, 25, 8]),
    ("sppf", [13, 13, 4]),
    ("sppfcspc", [29, 25, 8]),
    ("squeezenet", [29, 31, 11]),
    ("swapped", [21, 16, 11]),
    ("token_attention", [39, 46, 38]),
    ("upscale", [21, 17, 17]),
];

/// A dispatch more is a fusion lost.
#[test]
fn passes_leave_so_many_dispatches() {
    let counted = DISPATCHES.map(|(name, _)| {
        let model = stored(name);
        let dispatches = |options| planned(&model, &options).dispatches();
        (name, [model.nodes.len(), dispatches(PlanOptions::unfused()), dispatches(PlanOptions::default())])
    });
    let listed: Vec<String> = counted.iter().map(|(name, counts)| format!("    (\"{name}\", {counts:?}),")).collect();
    assert!(counted == DISPATCHES, "\n{}", listed.join("\n"));
}

#[test]
fn spelt_activations_are_parts_of_convolutions() {
    let model = stored("spelt");
    assert!(stems(&model).iter().all(|stem| stem.starts_with("conv")), "{:?}", stems(&model));
    let found: Vec<Activation> = planned_activations(&model);
    let want = [
        Activation::Silu,
        Activation::Hardswish,
        Activation::Hardswish,
        Activation::Mish,
        Activation::Gelu,
        Activation::GeluTanh,
    ];
    assert_eq!(found, want);
}

/// In order, of convolutions and what is applied to their results.
fn planned_activations(model: &Model) -> Vec<Activation> {
    let of = |op: &Op| match op {
        Op::Conv(conv) => conv.activation,
        Op::AffineActivation(affine) => affine.activation,
        _ => Activation::None,
    };
    model.graph.nodes().iter().map(|node| of(&node.op)).filter(|of| *of != Activation::None).collect()
}

fn graph(inputs: Vec<ValueInfoProto>, nodes: Vec<NodeProto>, outputs: &[&str]) -> GraphProto {
    let open = |name: &&str| ValueInfoProto { name: Some((*name).into()), r#type: Some(TypeProto::default()) };
    GraphProto {
        node: nodes,
        input: inputs,
        output: outputs.iter().map(open).collect(),
        initializer: vec![],
        value_info: vec![],
    }
}

fn read(graph: GraphProto, options: &Options) -> spp_wgpu::Result<Model> {
    Model::from_bytes(&model(graph).write_buf().unwrap(), None, options)
}

/// A convolution of `c` channels with as many of `i`.
fn conv(file: &mut GraphProto, x: &str, y: &str, [i, c]: [i64; 2]) {
    let weight = format!("{y}.weight");
    file.initializer.push(tensor(&weight, &[c, i, 1, 1], |i| (i % 5) as f32 - 2.0));
    file.node.push(node("Conv", &[x, &weight], &[y], vec![]));
}

/// What only moves values, between convolutions: a part is copied where what reads it lies in the same concatenation, or
/// where it is to lie in another order.
#[test]
fn what_moves_nothing_costs_no_dispatch() {
    type Moves = fn(&mut GraphProto);
    let cases: [(&str, Moves, [&[&str]; 2]); 7] = [
        (
            "splits and concatenates",
            |file| {
                file.node.push(node("Split", &["a"], &["l", "r"], vec![int("axis", 1)]));
                conv(file, "r", "c", [8, 8]);
                file.node.push(node("Concat", &["l", "r", "c"], &["b"], vec![int("axis", 1)]));
            },
            [&["conv"], &["concat"]],
        ),
        (
            "splits and swaps",
            |file| {
                file.node.push(node("Split", &["a"], &["l", "r"], vec![int("axis", 1)]));
                file.node.push(node("Concat", &["r", "l", "l"], &["b"], vec![int("axis", 1)]));
            },
            [&[], &["concat"; 3]],
        ),
        (
            "reshapes there and back",
            |file| {
                file.initializer.push(integers("rows", &[3], &[0, 16, -1]));
                file.initializer.push(integers("map", &[4], &[1, 16, 6, 8]));
                file.node.push(node("Reshape", &["a", "rows"], &["r"], vec![]));
                file.node.push(node("Reshape", &["r", "map"], &["b2"], vec![]));
                conv(file, "b2", "b", [16, 24]);
            },
            [&["conv"], &[]],
        ),
        (
            "flattens pixels",
            |file| {
                file.node.push(node("Flatten", &["a"], &["r"], vec![int("axis", 2)]));
                file.initializer.push(integers("map", &[4], &[1, 16, 6, 8]));
                file.node.push(node("Reshape", &["r", "map"], &["b2"], vec![]));
                conv(file, "b2", "b", [16, 24]);
            },
            [&["conv"], &[]],
        ),
        (
            "transposes twice",
            |file| {
                file.node.push(node("Transpose", &["a"], &["t"], vec![ints("perm", &[0, 2, 3, 1])]));
                file.node.push(node("Transpose", &["t"], &["b2"], vec![ints("perm", &[0, 3, 1, 2])]));
                conv(file, "b2", "b", [16, 24]);
            },
            [&["conv"], &[]],
        ),
        (
            "squeezes and unsqueezes",
            |file| {
                file.initializer.push(integers("axes", &[1], &[0]));
                file.node.push(node("Squeeze", &["a", "axes"], &["s"], vec![]));
                file.node.push(node("Unsqueeze", &["s", "axes"], &["b2"], vec![]));
                conv(file, "b2", "b", [16, 24]);
            },
            [&["conv"], &[]],
        ),
        (
            "passes on",
            |file| {
                file.node.push(node("Identity", &["a"], &["i"], vec![]));
                file.node.push(node("Dropout", &["i"], &["d"], vec![]));
                file.node.push(node("Cast", &["d"], &["b2"], vec![int("to", 1)]));
                conv(file, "b2", "b", [16, 24]);
            },
            [&["conv"], &[]],
        ),
    ];
    for (name, moves, [convs, copies]) in cases {
        let mut file = graph(vec![value("x", &[1, 3, 6, 8])], vec![], &["y"]);
        conv(&mut file, "x", "a", [3, 16]);
        moves(&mut file);
        conv(&mut file, "b", "y", [24, 4]);
        let model = read(file, &Options::default()).unwrap();
        let stems = stems(&model);
        let want = [&["conv"], convs, copies, &["conv"]].concat();
        assert_eq!(stems, want, "{name}: {}", planned(&model, &PlanOptions::default()));
    }
}

fn named(name: &str, dims: &[&str]) -> ValueInfoProto {
    let mut value = value(name, &vec![1; dims.len()]);
    let shape = value.r#type.as_mut().and_then(|r#type| r#type.tensor_type.as_mut()?.shape.as_mut());
    for (dim, symbol) in shape.unwrap().dim.iter_mut().zip(dims) {
        *dim = match symbol.parse() {
            Ok(size) => Dimension { dim_value: Some(size), ..Default::default() },
            Err(_) => Dimension { dim_param: Some((*symbol).into()), ..Default::default() },
        };
    }
    value
}

/// Two inputs with sizes left open, and their product.
fn open() -> GraphProto {
    let nodes = vec![
        node("Relu", &["x"], &["r"], vec![]),
        node("Mul", &["r", "scale"], &["y"], vec![]),
        node("Shape", &["y"], &["shape"], vec![]),
    ];
    graph(
        vec![named("x", &["batch", "3", "height", "width"]), named("scale", &["3", "1", "1"])],
        nodes,
        &["y", "shape"],
    )
}

fn sizes(sizes: &[(&str, u32)]) -> Options {
    Options { sizes: sizes.iter().map(|&(name, size)| (name.into(), size)).collect(), ..Default::default() }
}

fn inputs(inputs: &[(&str, &[u32])]) -> Options {
    Options { inputs: inputs.iter().map(|&(name, dims)| (name.into(), dims.into())).collect(), ..Default::default() }
}

#[test]
fn open_sizes_are_given_by_name_or_input() {
    let dims = |options: &Options| read(open(), options).unwrap().outputs[0].dims.clone();
    let hw = [("height", 5), ("width", 7)];
    assert_eq!(dims(&sizes(&hw)), [1, 3, 5, 7]);
    assert_eq!(dims(&sizes(&[hw[0], hw[1], ("batch", 2)])), [2, 3, 5, 7]);
    assert_eq!(dims(&inputs(&[("x", &[2, 3, 4, 6])])), [2, 3, 4, 6]);
    let model = read(open(), &sizes(&hw)).unwrap();
    let ports: Vec<_> = model.inputs.iter().map(|port| (&port.name[..], &port.dims[..], port.element)).collect();
    assert_eq!(ports, [("x", &[1, 3, 5, 7][..], ElementType::Float), ("scale", &[3, 1, 1][..], ElementType::Float)]);
    assert_eq!(model.outputs[1].element, ElementType::Int);
    let shapes: Vec<Shape> = model.graph.inputs().map(|(_, node)| node.shape).collect();
    assert_eq!(shapes, [Shape::new(1, 3, 5, 7), Shape::new(3, 1, 1, 1)]);
}

#[test]
fn a_batch_is_that_of_every_input() {
    let file = || {
        let nodes = vec![node("Add", &["a", "b"], &["y"], vec![])];
        graph(vec![value("a", &[1, 2, 3, 4]), value("b", &[1, 2, 1, 1])], nodes, &["y"])
    };
    let model = read(file(), &Options { batch: Some(3), ..Default::default() }).unwrap();
    let dims: Vec<_> = model.inputs.iter().chain(&model.outputs).map(|port| &port.dims[..]).collect();
    assert_eq!(dims, [&[3, 2, 3, 4][..], &[3, 2, 1, 1], &[3, 2, 3, 4]]);
}

#[test]
fn what_does_not_fit_the_inputs_is_named() {
    let both = |of: Options, batch| Options { batch, sizes: sizes(&[("height", 5), ("width", 7)]).sizes, ..of };
    let cases: [(Options, &str); 9] = [
        (both(inputs(&[("x", &[1, 3, 5, 8])]), None), "input 'x': dimension 3 is to be 8, and 7"),
        (both(inputs(&[("x", &[1, 3, 5, 7])]), Some(2)), "input 'x': dimension 0 is to be 1, and 2"),
        (Options::default(), "leaves dimensions open: 'height' of input 'x', 'width' of input 'x'; "),
        (sizes(&[("height", 5)]), "leaves dimensions open: 'width' of input 'x'; "),
        (sizes(&[("height", 5), ("width", 7), ("hieght", 3)]), "sizes = hieght: is unknown; did you mean 'height'?"),
        (inputs(&[("X", &[1, 3, 4, 4])]), "inputs = X: is unknown; did you mean 'x'? Known: x, scale"),
        (inputs(&[("x", &[3, 4, 4])]), "input 'x'"),
        (inputs(&[("x", &[1, 4, 4, 4])]), "Mul"),
        (inputs(&[("x", &[1, 3, 0, 4])]), "input 'x'"),
    ];
    for (options, want) in cases {
        let error = read(open(), &options).unwrap_err();
        assert!(error.to_string().contains(want), "{options:?}: {error}");
    }
}

/// A name that is known is told from one that is not, also where nobody needs it.
#[test]
fn a_size_may_be_given_twice() {
    let options = Options { inputs: inputs(&[("x", &[1, 3, 4, 6])]).inputs, ..sizes(&[("height", 4)]) };
    assert_eq!(read(open(), &options).unwrap().outputs[0].dims, [1, 3, 4, 6]);
}

fn floats(dims: &[u32]) -> Value {
    Value { dims: dims.into(), elements: Elements::Floats(vec![0.5; dims.iter().product::<u32>() as usize]) }
}

#[test]
fn open_sizes_are_those_of_given_tensors_and_others_stay() {
    let given = |dims: &[u32]| Options { values: [("x".into(), floats(dims))].into(), ..Default::default() };
    assert_eq!(read(open(), &given(&[2, 3, 4, 6])).unwrap().outputs[0].dims, [2, 3, 4, 6]);
    let fixed = || graph(vec![value("x", &[1, 2, 4, 4])], vec![node("Relu", &["x"], &["y"], vec![])], &["y"]);
    for dims in [[2, 2, 4, 4], [1, 2, 8, 4]] {
        let error = read(fixed(), &given(&dims)).unwrap_err().to_string();
        assert!(error.contains(&format!("{dims:?} is given for [1, 2, 4, 4]")), "{error}");
        assert!(read(fixed(), &Options { inputs: inputs(&[("x", &dims)]).inputs, ..given(&dims) }).is_ok());
    }
}

/// A node of `x`, or of the tensor before it, and what else it reads: indices, a shape or weights.
type Part = (&'static str, Option<(&'static [i64], &'static [i64])>, Vec<AttributeProto>);

/// These nodes one after the other, of images `[1, 4, 6]`.
fn chain(parts: Vec<Part>) -> GraphProto {
    let mut file = graph(vec![value("x", &[1, 4, 6])], vec![], &["y"]);
    let last = parts.len() - 1;
    for (i, (op, other, attributes)) in parts.into_iter().enumerate() {
        let from = if i == 0 { "x".into() } else { format!("x{i}") };
        let to = if i == last { "y".into() } else { format!("x{}", i + 1) };
        let mut reads = vec![from.as_str()];
        let with = format!("with{i}");
        if let Some((dims, values)) = other {
            let floats = |i: usize| values[i] as f32;
            let is_float = matches!(op, "MatMul" | "Add" | "Concat");
            file.initializer.push(if is_float { tensor(&with, dims, floats) } else { integers(&with, dims, values) });
            reads.push(&with);
        }
        file.node.push(node(op, &reads, &[&to], attributes));
    }
    file
}

/// Exporters that trace write the batch they saw into shapes and indices, and images would be mixed or left out.
#[test]
fn images_of_a_batch_stay_apart_or_are_refused() {
    const MINUS: i64 = -1;
    let two = Options { batch: Some(2), ..Default::default() };
    let (axis, keep) = (|axis| int("axis", axis), || int("keepdims", 1));
    let swap = || vec![ints("perm", &[1, 0, 2])];
    let mixing: Vec<(&str, Vec<Part>)> = vec![
        ("reshaped to what it was", vec![("Reshape", Some((&[2], &[4, 6])), vec![])]),
        ("reshaped to one", vec![("Reshape", Some((&[3], &[1, 3, MINUS])), vec![])]),
        (
            "and back",
            vec![
                ("Reshape", Some((&[3], &[1, 2, MINUS])), vec![]),
                ("Softmax", None, vec![axis(2)]),
                ("Reshape", Some((&[3], &[MINUS, 4, 6])), vec![]),
            ],
        ),
        ("the first", vec![("Gather", Some((&[1], &[0])), vec![axis(0)])]),
        ("the first, twice", vec![("Gather", Some((&[2], &[0, 0])), vec![axis(0)])]),
        ("the largest of all", vec![("ArgMax", None, vec![axis(0), keep()])]),
        ("shares of all", vec![("Softmax", None, vec![axis(0)])]),
        ("the mean of all", vec![("ReduceMean", None, vec![keep()])]),
        ("beside another", vec![("Concat", Some((&[1, 4, 6], &[1; 24])), vec![axis(0)])]),
        ("in another order", vec![("Transpose", None, swap()), ("Softmax", None, vec![axis(2)])]),
        (
            "products of the first",
            vec![
                ("Transpose", None, swap()),
                ("Reshape", Some((&[2], &[4, MINUS])), vec![]),
                ("Softmax", None, vec![axis(1)]),
            ],
        ),
    ];
    for (name, parts) in mixing {
        let error = read(chain(parts), &two).map(|model| model.outputs).unwrap_err().to_string();
        assert!(error.contains("takes no batch of 2"), "{name}: {error}");
    }
    let apart: Vec<(&str, Vec<Part>)> = vec![
        ("rows", vec![("Softmax", None, vec![axis(1)])]),
        ("turned", vec![("Transpose", None, vec![ints("perm", &[0, 2, 1])]), ("Softmax", None, vec![axis(2)])]),
        ("there and back", vec![("Transpose", None, swap()), ("Relu", None, vec![]), ("Transpose", None, swap())]),
        ("flat", vec![("Reshape", Some((&[2], &[MINUS, 24])), vec![]), ("Softmax", None, vec![axis(1)])]),
        (
            "some",
            vec![("Gather", Some((&[2], &[3, 1])), vec![axis(1)]), ("ReduceMean", None, vec![ints("axes", &[2])])],
        ),
        ("products", vec![("MatMul", Some((&[6, 2], &[1, -2, 3, 0, 5, 1, 2, 2, 0, 1, -1, 4])), vec![])]),
        ("largest", vec![("ArgMax", None, vec![axis(2)])]),
        ("sums", vec![("Add", Some((&[1, 4, 1], &[1, 2, 3, 4])), vec![]), ("Softmax", None, vec![axis(2)])]),
    ];
    for (name, parts) in apart {
        let values: Vec<f32> = (0..48).map(|i| ((i * 29) % 48) as f32 / 16.0 - 1.0).collect();
        let run = |options: &Options, values: &[f32]| {
            let graph = read(chain(parts.clone()), options).unwrap_or_else(|error| panic!("{name}: {error}")).graph;
            let shape = graph.inputs().next().unwrap().1.shape;
            let x = Tensor::new(shape, values.to_vec()).unwrap();
            reference::run(&graph, &[x]).unwrap().remove(0).into_data()
        };
        let [first, second] = [&values[..24], &values[24..]].map(|image| run(&Options::default(), image));
        assert_eq!(run(&two, &values), [first, second].concat(), "{name}");
    }
}

/// A shape that is an input: the model is made for the value that is given, and for no other.
#[test]
fn values_of_inputs_are_what_shapes_are_computed_from() {
    let file = || {
        let mut shape = value("to", &[3]);
        shape.r#type.as_mut().unwrap().tensor_type.as_mut().unwrap().elem_type = Some(DataType::INT64);
        graph(vec![value("x", &[2, 6]), shape], vec![node("Reshape", &["x", "to"], &["y"], vec![])], &["y"])
    };
    let error = read(file(), &Options::default()).unwrap_err();
    assert!(matches!(&error, Error::Model { problems } if problems.len() == 1), "{error}");
    let given = |dims: &[u32], ints: &[i64]| Options {
        values: [("to".into(), Value { dims: dims.into(), elements: Elements::Ints(ints.into()) })].into(),
        ..Default::default()
    };
    let model = read(file(), &given(&[3], &[3, -1, 2])).unwrap();
    assert_eq!(model.outputs[0].dims, [3, 2, 2]);
    let error = read(file(), &given(&[2], &[3, 4])).unwrap_err();
    assert!(error.to_string().contains("input 'to'"), "{error}");
}

/// All of them at once, those behind others, too; what merely reads them is not blamed.
#[test]
fn every_node_that_is_not_supported_is_listed() {
    let nodes = vec![
        NodeProto { name: Some("grid".into()), ..node("GridSample", &["x", "x"], &["a"], vec![]) },
        node("Relu", &["a"], &["b"], vec![]),
        NodeProto { name: Some("rnn".into()), ..node("LSTM", &["b", "b", "b"], &["c"], vec![]) },
        NodeProto { domain: Some("com.example".into()), ..node("Fused", &["x"], &["d"], vec![]) },
        node("Resize", &["x", "", "scales"], &["e"], vec![text("mode", "lanczos")]),
        node("Sigmoid", &["x"], &["f"], vec![]),
    ];
    let mut file = graph(vec![value("x", &[1, 2, 4, 4])], nodes, &["b", "c", "d", "e", "f"]);
    file.initializer.push(tensor("scales", &[4], |i| if i < 2 { 1.0 } else { 2.0 }));
    let Err(Error::Model { problems }) = read(file, &Options::default()) else { panic!("it loads") };
    let wants = [["GridSample", "grid"], ["LSTM", "rnn"], ["Fused", "com.example"], ["Resize", "mode = lanczos"]];
    assert_eq!(problems.len(), wants.len(), "{problems:#?}");
    for (problem, want) in problems.iter().zip(wants) {
        assert!(want.iter().all(|word| problem.contains(word)), "{problem}");
    }
}

/// Such as the maps before a suppression: nodes that lead elsewhere are as if they were not there.
#[test]
fn a_model_is_computed_up_to_the_tensors_that_are_asked_for() {
    let file = || {
        let suppression =
            NodeProto { name: Some("nms".into()), ..node("NonMaxSuppression", &["boxes", "limit"], &["y"], vec![]) };
        let nodes = vec![
            node("Relu", &["x"], &["boxes"], vec![]),
            node("Sigmoid", &["boxes"], &["scores"], vec![]),
            node("LSTM", &["x"], &["dead"], vec![]),
            suppression,
        ];
        graph(vec![value("x", &[1, 2, 4, 4]), named("limit", &["any"])], nodes, &["y"])
    };
    let up_to = |names: &[&str]| Options { outputs: names.iter().map(|&name| name.into()).collect(), ..sizes(&[]) };
    let error = read(file(), &sizes(&[("any", 1)])).unwrap_err();
    assert!(matches!(&error, Error::Model { problems } if problems.len() == 1), "{error}");
    let model = read(file(), &up_to(&["scores", "boxes"])).unwrap();
    let names: Vec<&str> = model.graph.outputs().iter().map(|(name, _)| &name[..]).collect();
    assert_eq!((names, model.inputs.len(), model.nodes.len()), (vec!["scores", "boxes"], 1, 2));
    let cases = [
        (&["score"][..], "outputs = score: is unknown; did you mean 'scores'?"),
        (&["nms"], "outputs = nms: is a node; its tensors are y"),
        (&["boxes", "boxes"], "outputs = boxes: is asked for twice"),
    ];
    for (names, want) in cases {
        let error = read(file(), &up_to(names)).unwrap_err();
        assert!(error.to_string().contains(want), "{error}");
    }
}

#[test]
fn blocks_are_known_by_how_they_are_connected() {
    let cases = [
        ("sppf", &["SPPF"][..]),
        ("simsppf", &["SimSPPF"]),
        ("spp", &["SPP"]),
        ("sppcspc", &["SPPCSPC"]),
        ("sppfcspc", &["SPPFCSPC"]),
        ("cspsppf", &["CSPSPPF"]),
        ("simcspsppf", &["SimCSPSPPF"]),
        ("deeplab", &["ASPP v3"]),
        ("rfb", &["BasicRFB"]),
        ("densenet", &[]),
        ("squeezenet", &[]),
        ("split_stage", &[]),
        ("shufflenet", &[]),
        ("anchor_head", &[]),
        ("distance_head", &[]),
    ];
    for (name, want) in cases {
        let blocks = stored(name).blocks();
        let names: Vec<&str> = blocks.iter().map(|block| block.name).collect();
        assert_eq!(names, want, "{name}: {blocks:#?}");
        assert!(blocks.iter().all(|block| block.nodes.len() > 4), "{name}: {blocks:#?}");
    }
}
