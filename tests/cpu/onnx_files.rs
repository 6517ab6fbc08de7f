//! ONNX files that are not sound: an error says what is wrong, and nothing is allocated for what is not there.
//! `SPP_FUZZ_MODELS` sets how many models are changed at random, `SPP_FUZZ_SEED` the first.

use std::cell::RefCell;
use std::path::Path;
use std::time::{Duration, Instant};
use std::{fs, io};

use rten_onnx::onnx::*;
use rten_onnx::protobuf::varint::{MAX_VARINT_LEN, encode_varint};
use spp_wgpu::onnx::{Model, Options};
use spp_wgpu::{DeviceClass, DeviceProfile, Plan, PlanOptions, Tensor, reference};

use crate::fuzz::{self, Dice, Outcome};

pub(crate) fn tensor(name: &str, dims: &[i64], values: impl Fn(usize) -> f32) -> TensorProto {
    let len = dims.iter().product::<i64>() as usize;
    TensorProto {
        name: Some(name.into()),
        dims: dims.into(),
        data_type: Some(DataType::FLOAT),
        raw_data: Some(RefCell::new((0..len).flat_map(|i| values(i).to_le_bytes()).collect())),
        ..Default::default()
    }
}

pub(crate) fn integers(name: &str, dims: &[i64], values: &[i64]) -> TensorProto {
    TensorProto {
        name: Some(name.into()),
        dims: dims.into(),
        data_type: Some(DataType::INT64),
        int64_data: values.into(),
        ..Default::default()
    }
}

pub(crate) fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { name: Some(name.into()), i: Some(value), r#type: Some(AttributeType::INT), ..Default::default() }
}

pub(crate) fn ints(name: &str, values: &[i64]) -> AttributeProto {
    let r#type = Some(AttributeType::INTS);
    AttributeProto { name: Some(name.into()), ints: values.into(), r#type, ..Default::default() }
}

pub(crate) fn text(name: &str, value: &str) -> AttributeProto {
    let r#type = Some(AttributeType::STRING);
    AttributeProto { name: Some(name.into()), s: Some(value.into()), r#type, ..Default::default() }
}

fn constant(output: &str, value: TensorProto) -> NodeProto {
    let r#type = Some(AttributeType::TENSOR);
    let value = AttributeProto { name: Some("value".into()), t: Some(value), r#type, ..Default::default() };
    node("Constant", &[], &[output], vec![value])
}

pub(crate) fn node(op: &str, inputs: &[&str], outputs: &[&str], attribute: Vec<AttributeProto>) -> NodeProto {
    let names = |names: &[&str]| names.iter().map(|&name| name.into()).collect();
    NodeProto {
        op_type: Some(op.into()),
        input: names(inputs),
        output: names(outputs),
        attribute,
        ..Default::default()
    }
}

pub(crate) fn value(name: &str, dims: &[i64]) -> ValueInfoProto {
    let size = |&size| Dimension { dim_value: Some(size), ..Default::default() };
    let shape = Some(TensorShapeProto { dim: dims.iter().map(size).collect() });
    let tensor_type = Some(TypeProtoTensor { elem_type: Some(DataType::FLOAT), shape });
    ValueInfoProto { name: Some(name.into()), r#type: Some(TypeProto { tensor_type, ..Default::default() }) }
}

pub(crate) fn model(graph: GraphProto) -> ModelProto {
    let opset_import = vec![OperatorSetIdProto { domain: Some(String::new()), version: Some(13) }];
    ModelProto { ir_version: Some(8), graph: Some(graph), opset_import, ..Default::default() }
}

/// Convolutions, a pyramid of pools and a concat.
fn pools() -> GraphProto {
    let pool = |input, output| {
        node("MaxPool", &[input], &[output], vec![ints("kernel_shape", &[5, 5]), ints("pads", &[2, 2, 2, 2])])
    };
    let conv = |inputs: &[&str], output, pads: &[i64]| node("Conv", inputs, &[output], vec![ints("pads", pads)]);
    GraphProto {
        node: vec![
            conv(&["x", "w1", "b1"], "c", &[1, 1, 1, 1]),
            node("Sigmoid", &["c"], &["s"], vec![]),
            node("Mul", &["c", "s"], &["p0"], vec![]),
            pool("p0", "p1"),
            pool("p1", "p2"),
            pool("p2", "p3"),
            node("Concat", &["p0", "p1", "p2", "p3"], &["all"], vec![int("axis", 1)]),
            conv(&["all", "w2"], "y", &[0, 0, 0, 0]),
        ],
        initializer: vec![
            tensor("w1", &[4, 3, 3, 3], |i| (i % 7) as f32 * 0.1 - 0.3),
            tensor("b1", &[4], |i| i as f32),
            tensor("w2", &[2, 16, 1, 1], |i| i as f32 * 0.01),
        ],
        input: vec![value("x", &[1, 3, 8, 8])],
        output: vec![value("y", &[1, 2, 8, 8])],
        value_info: vec![],
    }
}

/// A head as exporters write it, with the arithmetic of its shape.
fn head() -> GraphProto {
    let index = |name: &str, i| constant(name, integers("", &[], &[i]));
    GraphProto {
        node: vec![
            node("Shape", &["x"], &["shape"], vec![]),
            index("zero", 0),
            index("two", 2),
            index("three", 3),
            node("Gather", &["shape", "zero"], &["n"], vec![int("axis", 0)]),
            node("Gather", &["shape", "two"], &["h"], vec![int("axis", 0)]),
            node("Gather", &["shape", "three"], &["w"], vec![int("axis", 0)]),
            node("Mul", &["h", "w"], &["area"], vec![]),
            node("Unsqueeze", &["n", "axis"], &["n1"], vec![]),
            node("Unsqueeze", &["area", "axis"], &["area1"], vec![]),
            node("Concat", &["n1", "channels", "area1"], &["to"], vec![int("axis", 0)]),
            node("Reshape", &["x", "to"], &["flat"], vec![]),
            node("Transpose", &["flat"], &["rows"], vec![ints("perm", &[0, 2, 1])]),
            node("Slice", &["rows", "axis", "last", "axis2"], &["some"], vec![]),
            node("Softmax", &["some"], &["scores"], vec![int("axis", -1)]),
            node("Resize", &["x", "", "scales"], &["large"], vec![text("mode", "nearest")]),
        ],
        initializer: vec![
            integers("axis", &[1], &[0]),
            integers("axis2", &[1], &[2]),
            integers("last", &[1], &[i64::MAX]),
            integers("channels", &[1], &[-1]),
            TensorProto { raw_data: None, float_data: vec![1.0, 1.0, 2.0, 2.0], ..tensor("scales", &[4], |_| 0.0) },
        ],
        input: vec![value("x", &[1, 6, 4, 4])],
        output: vec![value("scores", &[1, 16, 6]), value("large", &[1, 6, 8, 8])],
        value_info: vec![],
    }
}

fn load(bytes: &[u8]) -> spp_wgpu::Result<Model> {
    Model::from_bytes(bytes, None, &Options::default())
}

/// What is said of a changed model.
fn fault(change: impl FnOnce(&mut ModelProto, &mut GraphProto)) -> String {
    let mut graph = pools();
    let mut model = model(GraphProto::default());
    change(&mut model, &mut graph);
    model.graph = Some(graph);
    load(&model.write_buf().unwrap()).unwrap_err().to_string()
}

/// Exporters leave texts behind that only they read.
#[test]
fn a_tensor_that_nothing_reads_may_be_of_any_type() {
    let mut graph = pools();
    graph.initializer.push(tensor("text", &[2], |_| 0.0));
    graph.initializer.last_mut().unwrap().data_type = Some(DataType::STRING);
    let model = ModelProto { graph: Some(graph), ..model(GraphProto::default()) };
    assert!(load(&model.write_buf().unwrap()).is_ok());
}

#[test]
fn what_is_unsound_in_a_model_is_named() {
    type Change = fn(&mut GraphProto);
    let changes: [(Change, &str); 15] = [
        (|graph| graph.node[2].input[0] = "q".into(), "Mul 'Mul 2': reads 'q'"),
        (|graph| graph.node[1].input[0] = "p0".into(), "wait for each other: Sigmoid 'Sigmoid 1', Mul 'Mul 2'"),
        (|graph| graph.node[4].output[0] = "p1".into(), "defines the value 'p1' twice"),
        (|graph| graph.node[4].output[0] = "w1".into(), "defines the value 'w1' twice"),
        (|graph| graph.node[4].output[0] = "x".into(), "defines the value 'x' twice"),
        (|graph| graph.initializer[1].name = Some("w1".into()), "two tensors named 'w1'"),
        (|graph| graph.input.push(value("x", &[1])), "defines the value 'x' twice"),
        (|graph| graph.output.push(value("y", &[1])), "the output 'y' twice"),
        (|graph| graph.output.push(value("z", &[1])), "does not compute its output 'z'"),
        (|graph| graph.node[3].attribute.push(int("pads", 1)), "'MaxPool 3': has two attributes named 'pads'"),
        (|graph| graph.node[3].op_type = None, "node 3 '': has no operator"),
        (|graph| graph.initializer[0].dims[0] = 5, "'w1': has 432 bytes, but [5, 3, 3, 3] are 540"),
        (|graph| graph.initializer[0].dims[0] = -4, "'w1': has the dimensions [-4, 3, 3, 3]"),
        (|graph| graph.initializer[0].dims = vec![i64::MAX; 4], "more than 2147483647 elements"),
        (|graph| graph.initializer[0].data_type = Some(DataType::STRING), "the type STRING, which is not supported"),
    ];
    for (change, expected) in changes {
        let text = fault(|_, graph| change(graph));
        assert!(text.contains(expected), "{text}\ninstead of\n{expected}");
    }
    assert!(fault(|_, graph| graph.node = vec![node("Relu", &["x"], &[""], vec![]); 65_537]).contains("65536 nodes"));
    assert!(fault(|_, graph| graph.input[0] = value("x", &[-2])).contains("'x': has a dimension of -2"));
    for version in [5, 99] {
        let text = fault(|model, _| model.opset_import[0].version = Some(version));
        assert!(text.contains(&format!("uses opset {version} of ONNX's operators, which is not supported")), "{text}");
    }
    assert!(fault(|model, _| model.opset_import.clear()).contains("which version of ONNX's operators"));
    assert!(load(b"").unwrap_err().to_string().contains("not an ONNX file"));
    assert!(load(b"PK\x03\x04 something else").unwrap_err().to_string().contains("not an ONNX file"));
}

/// One node that reads `x` and integers.
fn single(op: &str, dims: &[i64], lists: &[&[i64]], attribute: Vec<AttributeProto>) -> GraphProto {
    let names: Vec<String> = (0..lists.len()).map(|i| format!("list{i}")).collect();
    let inputs: Vec<&str> = ["x"].into_iter().chain(names.iter().map(String::as_str)).collect();
    GraphProto {
        node: vec![node(op, &inputs, &["y"], attribute)],
        initializer: names.iter().zip(lists).map(|(name, list)| integers(name, &[list.len() as i64], list)).collect(),
        input: vec![value("x", dims)],
        output: vec![value("y", &[1])],
        value_info: vec![],
    }
}

#[test]
fn absurd_numbers_are_refused_or_make_what_they_say() {
    const MAX: i64 = i64::MAX;
    let output = |graph| load(&model(graph).write_buf().unwrap()).map(|model| model.outputs[0].dims.clone());
    let fine: [(GraphProto, &[u32]); 5] = [
        (single("Pad", &[3], &[&[1, 2]], vec![]), &[6]),
        (single("Slice", &[4], &[&[1], &[MAX], &[0], &[MAX]], vec![]), &[1]),
        (single("Slice", &[4], &[&[-1], &[i64::MIN], &[0], &[i64::MIN]], vec![]), &[1]),
        (single("Gather", &[i32::MAX.into()], &[&[5, 3, 4]], vec![]), &[3]),
        (single("Relu", &[1, 1_000_000_000], &[], vec![]), &[1, 1_000_000_000]),
    ];
    for (graph, dims) in fine {
        let op = graph.node[0].op_type.clone();
        assert_eq!(output(graph).unwrap(), dims, "{op:?}");
    }
    assert!(
        output(single("Pad", &[3], &[&[0, 2_000_000_000]], vec![])).unwrap_err().to_string().contains("over 4194304")
    );
    for (name, list) in [("output_padding", [MAX, MAX]), ("output_shape", [-MAX, MAX]), ("output_padding", [0, -1])] {
        let mut graph = single("ConvTranspose", &[1, 4, 8, 8], &[], vec![ints(name, &list)]);
        graph.node[0].input.push("w".into());
        graph.initializer.push(tensor("w", &[4, 2, 3, 3], |i| i as f32));
        let text = output(graph).unwrap_err().to_string();
        assert!(text.contains(name), "{text}");
    }
}

#[test]
fn a_copy_may_walk_along_more_axes_than_a_kernel_has() {
    for rank in [7, 9] {
        let reversed: Vec<i64> = (0..rank).rev().collect();
        let mut graph = single("Transpose", &vec![2; rank as usize], &[], vec![ints("perm", &reversed)]);
        graph.node[0].output[0] = "turned".into();
        graph.node.push(node("Relu", &["turned"], &["y"], vec![]));
        let graph = load(&model(graph).write_buf().unwrap()).unwrap().graph;
        let x: Vec<f32> = (0..1 << rank).map(|i| i as f32).collect();
        let shape = graph.inputs().next().unwrap().1.shape;
        let y = reference::run(&graph, &[Tensor::new(shape, x).unwrap()]).unwrap();
        let mirrored = |i: u32| (i.reverse_bits() >> (32 - rank)) as f32;
        assert_eq!(y[0].data(), (0..1 << rank).map(mirrored).collect::<Vec<_>>());
    }
}

#[test]
fn many_taps_and_many_nodes_of_one_name_take_little_time() {
    let start = Instant::now();
    let mut resized = single("Resize", &[1, 4, 8, 8], &[&[1, 4, 1 << 18, 9]], vec![text("mode", "linear")]);
    resized.node[0].input = ["x", "", "", "list0"].map(Into::into).into();
    let mut same = single("Sum", &[1, 2], &[], vec![]);
    same.node[0].input = (0..20_000).map(|_| "x".into()).collect();
    for graph in [resized, same] {
        let model = load(&model(graph).write_buf().unwrap()).unwrap();
        let profile = DeviceProfile::portable(DeviceClass::Discrete);
        Plan::new(&model.graph, &profile, &PlanOptions::default()).unwrap();
    }
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
}

#[test]
fn no_part_of_a_file_is_taken_for_the_whole() {
    for graph in [pools(), head()] {
        let bytes = model(graph).write_buf().unwrap();
        (0..bytes.len()).for_each(|len| drop(load(&bytes[..len]).unwrap_err()));
    }
}

#[test]
fn a_length_beyond_the_file_is_not_believed() {
    for len in [1 << 40, i64::MAX as u64, u64::MAX, u64::MAX - 8] {
        let mut number = [0; MAX_VARINT_LEN];
        // A version, and a graph of so many bytes.
        let bytes = [&[0x08, 8, 0x3a][..], encode_varint(len, &mut number), &[0; 16]].concat();
        assert!(load(&bytes).unwrap_err().to_string().contains("end of file"));
    }
}

#[test]
fn a_number_without_an_end_is_an_error() {
    let bytes = [&[0x08, 8, 0x08][..], &[0xff; 64]].concat();
    assert!(load(&bytes).unwrap_err().to_string().contains("invalid varint"));
}

#[test]
fn graphs_in_graphs_take_no_stack() {
    // From the innermost outwards, and so from its end.
    let mut reversed = Vec::new();
    let mut number = [0; MAX_VARINT_LEN];
    for _ in 0..200_000 {
        // A graph (7 of the model, 6 of an attribute), its node, an attribute of that.
        for tag in [0x32, 0x2a, 0x0a] {
            let len = reversed.len() as u64;
            reversed.extend(encode_varint(len, &mut number).iter().rev());
            reversed.push(tag);
        }
    }
    let len = reversed.len() as u64;
    reversed.extend(encode_varint(len, &mut number).iter().rev());
    reversed.extend([0x3a, 8, 0x08]);
    reversed.reverse();
    assert!(load(&reversed).is_err());
}

#[test]
fn data_in_other_files_come_from_the_models_own_folder_only() {
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().join("models");
    fs::create_dir(&inside).unwrap();
    let weights: Vec<u8> = (0..108).flat_map(|i| (i as f32).to_le_bytes()).collect();
    fs::write(folder.path().join("secret.bin"), &weights).unwrap();
    fs::write(inside.join("weights.bin"), &weights).unwrap();
    let load = |entries: &[(&str, &str)]| {
        let mut graph = pools();
        let entry =
            |&(key, value): &(&str, &str)| StringStringEntryProto { key: Some(key.into()), value: Some(value.into()) };
        graph.initializer[0] = TensorProto {
            raw_data: None,
            external_data: entries.iter().map(entry).collect(),
            data_location: Some(DataLocation::EXTERNAL),
            ..graph.initializer[0].clone()
        };
        let bytes = model(graph).write_buf().unwrap();
        fs::write(inside.join("model.onnx"), &bytes).unwrap();
        Model::load(inside.join("model.onnx"), &Options::default())
    };
    let fault = |entries: &[(&str, &str)]| load(entries).unwrap_err().to_string();
    let whole = fault_of(load(&[("location", "weights.bin"), ("length", "432")]));
    assert!(!whole.contains("weights.bin"), "{whole}");
    let absolute = folder.path().join("secret.bin");
    for location in ["../secret.bin", "../models/weights.bin", absolute.to_str().unwrap(), ""] {
        assert!(fault(&[("location", location)]).contains("own folder"), "{location}");
    }
    if link(&absolute, &inside.join("link.bin")).is_ok() {
        assert!(fault(&[("location", "link.bin")]).contains("own folder"));
    }
    let at = |offset, length| fault(&[("location", "weights.bin"), ("offset", offset), ("length", length)]);
    assert!(at("4", "432").contains("beyond the file's 432"));
    assert!(at("18446744073709551615", "432").contains("beyond"));
    assert!(at("0", "431").contains("[4, 3, 3, 3] are 432"));
    assert!(at("-1", "432").contains("offset '-1'"));
    assert!(fault(&[("location", "none.bin")]).contains("none.bin"));
    assert!(fault(&[("location", ".")]).contains("not a regular file"));
}

fn fault_of(model: spp_wgpu::Result<Model>) -> String {
    model.err().map(|error| error.to_string()).unwrap_or_default()
}

#[cfg(unix)]
fn link(to: &Path, at: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(to, at)
}

#[cfg(not(unix))]
fn link(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[test]
fn changed_models_are_loaded_or_refused() {
    fuzz::all("SPP_FUZZ_MODELS", 4000, |dice| {
        let bytes = mutant(dice);
        let mut options =
            Options { batch: dice.pick(&[None, None, Some(0), Some(2), Some(u32::MAX)]), ..Options::default() };
        if dice.once_in(4) {
            options.inputs.insert("x".into(), (0..dice.below(6)).map(|_| dice.pick(&[0, 1, 3, 8, u32::MAX])).collect());
        }
        let start = Instant::now();
        let loaded = Model::from_bytes(&bytes, None, &options);
        if start.elapsed() > Duration::from_secs(10) {
            return Outcome::Faults(format!("took {:?}: {loaded:?}", start.elapsed()));
        }
        if loaded.is_ok() { Outcome::Fine } else { Outcome::Beyond }
    });
}

/// Numbers that are seldom meant.
const ODD: [i64; 14] = [0, 1, -1, 2, 3, 5, -7, 255, 1 << 16, i32::MAX as i64, 1 << 31, 1 << 40, i64::MAX, i64::MIN];

fn mutant(dice: &mut Dice) -> Vec<u8> {
    let mut graph = if dice.once_in(2) { pools() } else { head() };
    let opset = dice.pick(&[6, 7, 9, 10, 11, 12, 13, 13, 13, 18, 22, 25, 1 << 40]);
    for _ in 0..dice.below(4) {
        change_graph(&mut graph, dice);
    }
    let mut model = model(graph);
    model.opset_import[0].version = Some(opset);
    let mut bytes = model.write_buf().unwrap();
    if dice.once_in(2) {
        (0..1 + dice.below(6)).for_each(|_| change_bytes(&mut bytes, dice));
    }
    bytes
}

fn change_bytes(bytes: &mut Vec<u8>, dice: &mut Dice) {
    if bytes.is_empty() {
        return;
    }
    let at = dice.below(bytes.len());
    let end = (at + 1 + dice.below(24)).min(bytes.len());
    match dice.below(6) {
        0 => bytes[at] ^= 1 << dice.below(8),
        1 => bytes[at] = dice.pick(&[0, 1, 0x7f, 0x80, 0xff, 0x0a, 0x12, 0x2a, 0x3a]),
        2 => drop(bytes.drain(at..end)),
        3 => bytes.insert(at, dice.below(256) as u8),
        4 => {
            let part = bytes[at..end].to_vec();
            let to = dice.below(bytes.len());
            bytes.splice(to..to, part);
        }
        _ => bytes.truncate(at),
    }
}

fn change_graph(graph: &mut GraphProto, dice: &mut Dice) {
    let (nodes, tensors) = (graph.node.len(), graph.initializer.len());
    if nodes == 0 || tensors == 0 {
        return;
    }
    let (i, j) = (dice.below(nodes), dice.below(nodes));
    let t = dice.below(tensors);
    let number = dice.pick(&ODD);
    match dice.below(16) {
        0 => drop(graph.node.remove(i)),
        1 => graph.node.push(graph.node[i].clone()),
        2 => graph.node.swap(i, j),
        3 => graph.node[i].op_type = graph.node[j].op_type.clone(),
        4 => {
            let names = [graph.node[j].output[0].clone(), "x".into(), String::new()];
            let name = names[dice.below(3)].clone();
            if let Some(input) = graph.node[i].input.first_mut() {
                *input = name;
            }
        }
        5 => drop(graph.node[i].input.pop()),
        6 => {
            let name = graph.initializer[t].name.clone().unwrap();
            graph.node[i].input.push(name);
        }
        7 => graph.node[i].attribute = graph.node[j].attribute.clone(),
        8 => {
            for attribute in &mut graph.node[i].attribute {
                attribute.i = attribute.i.map(|_| number);
                if let Some(value) = attribute.ints.first_mut() {
                    *value = number;
                }
            }
        }
        9 => drop(graph.node[i].attribute.pop()),
        10 => graph.initializer[t].dims.push(number),
        11 => {
            if let Some(dim) = graph.initializer[t].dims.first_mut() {
                *dim = number;
            }
        }
        12 => {
            let tensor = &mut graph.initializer[t];
            tensor.int64_data.iter_mut().for_each(|value| *value = number);
            tensor.float_data.iter_mut().for_each(|value| *value = number as f32);
        }
        13 => graph.initializer[t].data_type = Some(DataType(dice.below(26) as i32)),
        14 => graph.initializer[t].name = graph.node[i].output.first().cloned(),
        _ => {
            let dims: Vec<i64> = (0..dice.below(7)).map(|_| dice.pick(&ODD)).collect();
            graph.input[0] = value("x", &dims);
        }
    }
}
