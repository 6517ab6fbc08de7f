use rten_onnx::onnx::*;
use rten_onnx::protobuf::{EncodeMessage, MessageWriter, ProtobufError, ValueWriter, WriteValue};

use super::*;

fn node(op: &str, inputs: &[&str], outputs: &[&str], attribute: Vec<AttributeProto>) -> NodeProto {
    let names = |names: &[&str]| names.iter().map(|&name| name.into()).collect();
    let op_type = Some(op.into());
    NodeProto { op_type, input: names(inputs), output: names(outputs), attribute, ..Default::default() }
}

fn attribute(name: &str, kind: AttributeType) -> AttributeProto {
    AttributeProto { name: Some(name.into()), r#type: Some(kind), ..Default::default() }
}

fn value(name: &str, dim: Vec<Dimension>) -> ValueInfoProto {
    let tensor_type = Some(TypeProtoTensor { elem_type: Some(DataType::FLOAT), shape: Some(TensorShapeProto { dim }) });
    ValueInfoProto { name: Some(name.into()), r#type: Some(TypeProto { tensor_type, ..Default::default() }) }
}

/// Nodes in reverse, constants of several forms, and an initializer that is listed as an input.
fn sample() -> ModelProto {
    let dim = |value, name: Option<&str>| Dimension { dim_value: value, dim_param: name.map(Into::into) };
    let halves = TensorProto {
        name: Some("halves".into()),
        dims: vec![2],
        data_type: Some(DataType::FLOAT16),
        int32_data: vec![0x3c00, 0xc000],
        ..Default::default()
    };
    let bytes = TensorProto { data_type: Some(DataType::INT8), int32_data: vec![-3], ..Default::default() };
    let graph = GraphProto {
        node: vec![
            node("Relu", &["sum"], &["y"], vec![]),
            node(
                "Add",
                &["x", "halves"],
                &["sum"],
                vec![AttributeProto { i: None, ..attribute("k", AttributeType::INT) }],
            ),
            NodeProto { name: Some("Add 1".into()), ..node("Neg", &["y"], &["z"], vec![]) },
            node(
                "Constant",
                &[],
                &["a"],
                vec![AttributeProto { ints: vec![4, -5], ..attribute("value_ints", AttributeType::INTS) }],
            ),
            node(
                "Constant",
                &[],
                &["b"],
                vec![AttributeProto { t: Some(bytes), ..attribute("value", AttributeType::UNDEFINED) }],
            ),
            node(
                "Constant",
                &[],
                &["c"],
                vec![AttributeProto { s: Some("text".into()), ..attribute("value_string", AttributeType::STRING) }],
            ),
        ],
        initializer: vec![halves],
        input: vec![
            value("x", vec![dim(None, Some("n")), dim(Some(3), None), dim(Some(-1), None)]),
            value("halves", vec![]),
        ],
        output: vec![value("z", vec![])],
        ..Default::default()
    };
    let opset = |domain: &str, version| OperatorSetIdProto { domain: Some(domain.into()), version: Some(version) };
    ModelProto {
        ir_version: Some(3),
        graph: Some(graph),
        opset_import: vec![opset("com.microsoft", 1), opset("ai.onnx", 11)],
        ..Default::default()
    }
}

fn read(bytes: &[u8]) -> Result<File> {
    parse(bytes, None, 1 << 20)
}

#[test]
fn a_file_is_put_in_order() {
    let file = read(&sample().write_buf().unwrap()).unwrap();
    assert_eq!(file.opset, 11);
    let dims = Some(vec![Dim::Named("n".into()), Dim::Size(3), Dim::Unknown]);
    assert_eq!(file.inputs, [Input { name: "x".into(), kind: Some(Kind::F32), dims }]);
    assert_eq!(file.outputs, ["z"]);
    let names: Vec<String> = file.nodes.iter().map(Node::label).collect();
    assert_eq!(names, ["Add 'Add 1'", "Relu 'Relu 0'", "Neg 'Add 1 (2)'", "Constant 'Constant 5'"]);
    assert_eq!(*file.constants["halves"], Array { kind: Kind::F16, ..Array::floats([2], vec![1.0, -2.0]) });
    assert_eq!(*file.constants["a"], Array::ints([2], vec![4, -5]));
    assert_eq!(*file.constants["b"], Array { kind: Kind::I8, ..Array::ints([], vec![-3]) });
    assert_eq!(file.nodes[0].int("k").unwrap(), Some(0), "a writer may leave out a zero");
    let text = file.nodes[0].floats("k").unwrap_err().to_string();
    assert_eq!(text, "Add 'Add 1': k = 0: is not numbers");
}

#[test]
fn no_part_of_a_file_is_taken_for_the_whole() {
    let bytes = sample().write_buf().unwrap();
    assert!(read(&bytes).is_ok());
    (0..bytes.len()).for_each(|len| assert!(read(&bytes[..len]).is_err(), "{len} of {}", bytes.len()));
    assert!(parse(&bytes, None, bytes.len() as u64 - 1).unwrap_err().to_string().contains("bytes, over"));
}

/// Writers by the other version of the format pack all repeated numbers.
struct Packed;

impl EncodeMessage for Packed {
    fn encode_fields<W: WriteValue>(&self, fields: &mut MessageWriter<W>) -> Result<(), ProtobufError> {
        fields.write_string(1, "pads")?;
        fields.write_packed_int64(8, &[1, -2, 300])?;
        fields.write_enum(20, AttributeType::INTS.0)
    }
}

#[test]
fn packed_numbers_are_read() {
    let mut bytes = Vec::new();
    Packed.encode(ValueWriter::new(&mut bytes)).unwrap();
    let external = &mut External { folder: None, left: 0 };
    assert_eq!(read_attribute(&bytes, external).unwrap(), ("pads", Attribute::Ints(vec![1, -2, 300])));
}
