use std::collections::BTreeSet;
use std::sync::Arc;

use super::*;
use crate::onnx::array::Data;
use crate::onnx::file::Attribute;

fn node(op: &str, attributes: &[(&str, Attribute)], inputs: usize, outputs: usize) -> Node {
    let names = |count| (0..count).map(|i: usize| format!("v{i}")).collect();
    let attributes = attributes.iter().map(|(name, value)| ((*name).into(), value.clone())).collect();
    Node {
        name: "it".into(),
        op: op.into(),
        inputs: names(inputs),
        outputs: names(outputs),
        attributes,
        ..Node::default()
    }
}

fn all(
    op: &str,
    opset: i64,
    attributes: &[(&str, Attribute)],
    inputs: &[&Array],
    outputs: usize,
) -> Result<Vec<Array>> {
    let inputs: Vec<Option<&Array>> = inputs.iter().copied().map(Some).collect();
    fold(&node(op, attributes, inputs.len(), outputs), &inputs, opset, &mut Room::default()).unwrap()
}

fn one(op: &str, attributes: &[(&str, Attribute)], inputs: &[&Array]) -> Array {
    all(op, 13, attributes, inputs, 1).unwrap().remove(0)
}

fn fault(op: &str, attributes: &[(&str, Attribute)], inputs: &[&Array]) -> String {
    all(op, 13, attributes, inputs, 1).unwrap_err().to_string()
}

fn ints(values: &[i64]) -> Array {
    Array::ints([values.len()], values.into())
}

fn floats(values: &[f32]) -> Array {
    Array::floats([values.len()], values.into())
}

fn of_rank<const N: usize>(dims: [usize; N]) -> Array {
    Array::ints(dims, (0..dims.iter().product::<usize>() as i64).collect())
}

const INT: fn(i64) -> Attribute = Attribute::Int;

fn list(values: &[i64]) -> Attribute {
    Attribute::Ints(values.into())
}

#[test]
fn slices_take_negative_steps_and_ends_beyond_all() {
    let rows = of_rank([2, 5]);
    let slice = |starts: &[i64], ends: &[i64], axes: &[i64], steps: &[i64]| {
        one("Slice", &[], &[&rows, &ints(starts), &ints(ends), &ints(axes), &ints(steps)])
    };
    assert_eq!(slice(&[1], &[i64::MAX], &[1], &[2]), Array::ints([2, 2], vec![1, 3, 6, 8]));
    assert_eq!(slice(&[-1], &[i64::MIN], &[1], &[-2]), Array::ints([2, 3], vec![4, 2, 0, 9, 7, 5]));
    assert_eq!(slice(&[0, 4], &[1, 1], &[0, -1], &[1, -1]), Array::ints([1, 3], vec![4, 3, 2]));
    assert_eq!(slice(&[4], &[1], &[1], &[1]).dims, [2, 0]);
    assert_eq!(slice(&[i64::MAX], &[i64::MIN], &[1], &[i64::MIN]), Array::ints([2, 1], vec![4, 9]));
    let old = [("starts", list(&[1])), ("ends", list(&[9]))];
    assert_eq!(one("Slice", &old, &[&rows]), Array::ints([1, 5], vec![5, 6, 7, 8, 9]), "before version 10");
    assert!(fault("Slice", &[], &[&rows, &ints(&[0]), &ints(&[1]), &ints(&[2])]).contains("axis 2"));
    assert!(fault("Slice", &[], &[&rows, &ints(&[0]), &ints(&[1]), &ints(&[0]), &ints(&[0])]).contains("step of 0"));
}

#[test]
fn integers_divide_towards_zero_and_never_by_it() {
    assert_eq!(one("Div", &[], &[&ints(&[7, -7, i64::MIN]), &ints(&[2, 2, -1])]), ints(&[3, -3, i64::MIN]));
    assert_eq!(one("Mod", &[], &[&ints(&[7, -7, 7]), &ints(&[3, 3, -3])]), ints(&[1, 2, -2]));
    assert_eq!(one("Mod", &[("fmod", INT(1))], &[&ints(&[7, -7]), &ints(&[3, 3])]), ints(&[1, -1]));
    for op in ["Div", "Mod"] {
        assert!(fault(op, &[], &[&ints(&[1]), &ints(&[0])]).contains(&format!("{op} 'it': divides")));
    }
}

#[test]
fn results_fit_the_type_of_the_file() {
    let small = Array { kind: Kind::U8, ..ints(&[250]) };
    assert_eq!(one("Add", &[], &[&small, &small]).as_ints(), Some(&[244][..]));
    let cast = |to, array: &Array| one("Cast", &[("to", INT(to))], &[array]);
    assert_eq!(cast(7, &floats(&[-1.9, 2.5])), ints(&[-1, 2]));
    assert_eq!(cast(10, &floats(&[0.1])).data, Data::F32(vec![0.099_975_586]));
    assert_eq!(cast(9, &floats(&[0.0, -0.5])), Array::bools([2], vec![false, true]));
    assert!(fault("Cast", &[("to", INT(8))], &[&ints(&[1])]).contains("type 8"));
}

#[test]
fn shapes_are_computed_as_exporters_write_them() {
    // A reshape to (n, 85, h * w): Shape, Gather, Mul, Unsqueeze, Concat.
    let shape = one("Shape", &[], &[&of_rank([1, 85, 3, 4])]);
    let [n, h, w] = [0, 2, -1].map(|i| one("Gather", &[("axis", INT(0))], &[&shape, &Array::ints([], vec![i])]));
    let area = one("Mul", &[], &[&h, &w]);
    assert_eq!(area, Array::ints([], vec![12]));
    let parts = [&n, &area].map(|part| one("Unsqueeze", &[], &[part, &ints(&[0])]));
    let target = one("Concat", &[("axis", INT(0))], &[&parts[0], &ints(&[-1]), &parts[1]]);
    assert_eq!(target, ints(&[1, -1, 12]));
    assert_eq!(one("Reshape", &[], &[&of_rank([1, 85, 3, 4]), &target]).dims, [1, 85, 12]);
    // A grid of YOLO.
    let rows = one("Range", &[], &[&Array::ints([], vec![0]), &h, &Array::ints([], vec![1])]);
    let rows = one("Expand", &[], &[&one("Unsqueeze", &[("axes", list(&[1]))], &[&rows]), &ints(&[3, 4])]);
    assert_eq!(rows, Array::ints([3, 4], vec![0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]));
    assert_eq!(one("Transpose", &[], &[&rows]).as_ints().unwrap()[..3], [0, 1, 2]);
}

#[test]
fn reshapes_keep_and_fill_dimensions() {
    let dims = |shape: &[i64], allow| shape::reshape(&[2, 3, 4], shape, allow);
    assert_eq!(dims(&[0, -1], false), Ok(vec![2, 12]));
    assert_eq!(dims(&[4, 1, 6], false), Ok(vec![4, 1, 6]));
    assert_eq!(shape::reshape(&[0, 3], &[3, 0], true), Ok(vec![3, 0]));
    for shape in [&[5, -1][..], &[-1, -1], &[2, -3], &[0, 0, 0, 0], &[i64::MAX, i64::MAX], &[0, -1, 0, 0]] {
        assert!(dims(shape, false).is_err(), "{shape:?}");
    }
    assert!(shape::reshape(&[0, 3], &[0, -1], true).is_err(), "any size would do");
    assert_eq!(shape::flatten(&[2, 3, 4], -1), Ok([6, 4]));
    assert_eq!(shape::flatten(&[2, 3, 4], 3), Ok([24, 1]));
    assert_eq!(shape::flatten(&[], 0), Ok([1, 1]));
    assert!(shape::flatten(&[2], -2).is_err());
    assert_eq!(shape::squeeze(&[1, 3, 1], None), Ok(vec![3]));
    assert_eq!(shape::squeeze(&[1, 3, 1], Some(&[-1])), Ok(vec![1, 3]));
    assert!(shape::squeeze(&[1, 3, 1], Some(&[1])).is_err());
    assert_eq!(shape::unsqueeze(&[3], &[0, -1]), Ok(vec![1, 3, 1]));
    assert!(shape::unsqueeze(&[3], &[1, 1]).is_err());
    assert_eq!(shape::split(7, None, 3, 18), Ok(vec![3, 3, 1]));
    assert!(shape::split(7, None, 3, 13).is_err());
    assert_eq!(shape::split(7, Some(&[5, 2]), 2, 13), Ok(vec![5, 2]));
    for sizes in [&[5, 3][..], &[8, -1], &[7], &[i64::MAX, i64::MAX]] {
        assert!(shape::split(7, Some(sizes), 2, 13).is_err(), "{sizes:?}");
    }
    assert_eq!(shape::shape_of(&[2, 3, 4], Some(-2), Some(9)), [3, 4]);
    assert_eq!(shape::shape_of(&[2, 3, 4], Some(2), Some(1)), [0i64; 0]);
}

#[test]
fn elements_are_found_and_put() {
    let rows = of_rank([2, 3]);
    assert_eq!(one("Gather", &[("axis", INT(1))], &[&rows, &ints(&[-1, 0])]), Array::ints([2, 2], vec![2, 0, 5, 3]));
    let places = Array::ints([1, 2], vec![1, -2]);
    assert_eq!(one("GatherElements", &[("axis", INT(0))], &[&rows, &places]), Array::ints([1, 2], vec![3, 1]));
    let put = one("ScatterND", &[], &[&rows, &Array::ints([2, 2], vec![0, 1, 1, -1]), &ints(&[70, 80])]);
    assert_eq!(put, Array::ints([2, 3], vec![0, 70, 2, 3, 4, 80]));
    let halves = all("Split", 13, &[("axis", INT(1))], &[&rows, &ints(&[2, 1])], 2).unwrap();
    assert_eq!(halves, [Array::ints([2, 2], vec![0, 1, 3, 4]), Array::ints([2, 1], vec![2, 5])]);
    assert_eq!(one("Tile", &[], &[&ints(&[1, 2]), &ints(&[2])]), ints(&[1, 2, 1, 2]));
    let chosen = one("Where", &[], &[&Array::bools([2, 1], vec![true, false]), &ints(&[1, 2]), &ints(&[9])]);
    assert_eq!(chosen, Array::ints([2, 2], vec![1, 2, 9, 9]));
    assert_eq!(one("NonZero", &[], &[&Array::ints([2, 2], vec![0, 3, 4, 0])]), Array::ints([2, 2], vec![0, 1, 1, 0]));
    assert_eq!(one("Trilu", &[("upper", INT(0))], &[&of_rank([2, 2])]), Array::ints([2, 2], vec![0, 0, 2, 3]));
    let hot = one("OneHot", &[], &[&ints(&[1, -1, 7]), &ints(&[2]), &floats(&[0.0, 5.0])]);
    assert_eq!(hot, Array::floats([3, 2], vec![0.0, 5.0, 0.0, 5.0, 0.0, 0.0]));
    for index in [2, -3] {
        assert!(fault("Gather", &[], &[&rows, &ints(&[index])]).contains("not one of 2"));
    }
}

#[test]
fn arrays_are_added_up() {
    let rows = of_rank([2, 3]);
    assert_eq!(one("ReduceProd", &[("keepdims", INT(0))], &[&ints(&[2, 3, 4])]), Array::ints([], vec![24]));
    assert_eq!(one("ReduceSum", &[], &[&rows, &ints(&[-1])]), Array::ints([2, 1], vec![3, 12]));
    assert_eq!(one("ReduceMax", &[("axes", list(&[0]))], &[&rows]), Array::ints([1, 3], vec![3, 4, 5]));
    assert_eq!(one("ReduceMean", &[], &[&floats(&[1.0, 2.0])]), Array::floats([1], vec![1.5]));
    assert_eq!(one("ReduceSum", &[("noop_with_empty_axes", INT(1))], &[&rows]), rows);
    assert_eq!(one("MatMul", &[], &[&rows, &ints(&[1, 0, 2])]), ints(&[4, 13]));
    let reverse = [("reverse", INT(1)), ("exclusive", INT(1))];
    assert_eq!(one("CumSum", &reverse, &[&ints(&[1, 2, 3]), &Array::ints([], vec![0])]), ints(&[5, 3, 0]));
    assert_eq!(one("Clip", &[("max", Attribute::Float(1.0))], &[&floats(&[-2.0, 2.0])]), floats(&[-2.0, 1.0]));
    let old = all("Add", 6, &[("broadcast", INT(1)), ("axis", INT(0))], &[&rows, &ints(&[10, 20])], 1).unwrap();
    assert_eq!(old, [Array::ints([2, 3], vec![10, 11, 12, 23, 24, 25])], "before version 7");
    let nan = one("Max", &[], &[&floats(&[f32::NAN, 1.0]), &floats(&[0.0, f32::NAN])]);
    assert!(nan.as_floats().unwrap().iter().all(|value| value.is_nan()));
}

#[test]
fn nothing_is_computed_of_what_is_not_known() {
    let (x, mut room) = (ints(&[1]), Room::default());
    assert!(fold(&node("Add", &[], 2, 1), &[Some(&x), None], 13, &mut room).is_none());
    assert!(fold(&node("Add", &[], 2, 1), &[Some(&x)], 13, &mut room).is_none());
    assert!(fold(&node("RandomNormal", &[], 0, 1), &[], 13, &mut room).is_none());
    let foreign = Node { domain: "com.microsoft".into(), ..node("Neg", &[], 1, 1) };
    assert!(fold(&foreign, &[Some(&x)], 13, &mut room).is_none());
    let absent = Node { inputs: vec!["x".into(), String::new(), "high".into()], ..node("Clip", &[], 0, 1) };
    let clipped = fold(&absent, &[Some(&ints(&[5])), None, Some(&x)], 13, &mut room);
    assert_eq!(clipped.unwrap().unwrap(), [ints(&[1])], "an absent input is no unknown one");
}

#[test]
fn what_would_not_fit_is_refused_before_it_is_allocated() {
    let huge = ints(&[1 << 30, 2]);
    let zero = Array::ints([], vec![0]);
    let [one, many] = [1, i64::MAX].map(|value| Array::ints([], vec![value]));
    let cases: [(&str, &[&Array]); 6] = [
        ("ConstantOfShape", &[&huge]),
        ("Expand", &[&ints(&[1]), &ints(&[1 << 20, 1 << 20])]),
        ("Tile", &[&ints(&[1, 2]), &ints(&[i64::MAX])]),
        ("Range", &[&zero, &many, &one]),
        ("OneHot", &[&ints(&[1]), &many, &ints(&[0, 1])]),
        ("ConstantOfShape", &[&ints(&[1; 17])]),
    ];
    for (op, inputs) in cases {
        let text = fault(op, &[], inputs);
        assert!(text.contains("the result has") || text.contains("too much"), "{op}: {text}");
    }
    // The budget is for all nodes together.
    let shape = ints(&[1 << 20]);
    let node = node("ConstantOfShape", &[], 1, 1);
    let mut room = Room { work: 3 << 20, bytes: u64::MAX };
    let folds = (0..4).map(|_| fold(&node, &[Some(&shape)], 13, &mut room).unwrap().is_ok());
    assert_eq!(folds.collect::<Vec<_>>(), [true, true, true, false]);
}

/// Every operator with any arrays and attributes: a result as large as its dimensions say, or an error.
#[test]
fn no_node_is_a_panic() {
    const OPS: &str = "Identity Dropout Cast CastLike Shape Size ConstantOfShape Reshape Flatten Squeeze Unsqueeze \
        Transpose Expand Tile Slice Gather GatherElements Concat Where ScatterND NonZero Trilu OneHot Split Not Pow Mod \
        Max Min Sum Mean Clip Range CumSum MatMul ReduceSum ReduceProd ReduceMax ReduceMin ReduceMean Abs Neg Sqrt Floor \
        Add Sub Mul Div Equal Greater And Xor";
    let ops: Vec<&str> = OPS.split_whitespace().collect();
    let mut state = 1u64;
    let mut dice = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let numbers = [0, 1, -1, 2, 3, -2, -3, 5, 7, 100, i64::MAX, i64::MIN, 1 << 31, 1 << 40];
    let names = [
        "axis",
        "axes",
        "starts",
        "ends",
        "keepdims",
        "to",
        "perm",
        "split",
        "value",
        "fmod",
        "exclusive",
        "reverse",
        "upper",
        "allowzero",
        "start",
        "end",
        "noop_with_empty_axes",
        "shape",
        "min",
    ];
    let mut folded = BTreeSet::new();
    for _ in 0..200_000 {
        let array = |dice: &mut dyn FnMut(usize) -> usize| {
            let dims: Vec<usize> = (0..dice(4)).map(|_| [1, 2, 3, 1, 2, 3, 1, 2, 0][dice(9)]).collect();
            let len = dims.iter().product();
            let rare = if dice(4) == 0 { 6 } else { 0 };
            let ints: Vec<i64> = (0..len).map(|_| numbers[dice(8 + rare)]).collect();
            match dice(6) {
                0 => Array::floats(dims, ints.iter().map(|&value| value as f32 / 2.0).collect()),
                1 => Array::bools(dims, ints.iter().map(|&value| value > 0).collect()),
                _ => Array::ints(dims, ints),
            }
        };
        let arrays: Vec<Array> = (0..1 + dice(4)).map(|_| array(&mut dice)).collect();
        let attributes: Vec<(&str, Attribute)> = (0..dice(3))
            .map(|_| {
                let value = match dice(4) {
                    0 => Attribute::Ints((0..dice(4)).map(|_| numbers[dice(14)]).collect()),
                    1 => Attribute::Tensor(Arc::new(array(&mut dice))),
                    _ => Attribute::Int(numbers[dice(14)]),
                };
                (names[dice(names.len())], value)
            })
            .collect();
        let node = node(ops[dice(ops.len())], &attributes, arrays.len(), 1 + dice(3));
        let inputs: Vec<Option<&Array>> = arrays.iter().map(Some).collect();
        let mut room = Room { work: 1 << 16, bytes: 1 << 18 };
        if let Some(Ok(results)) = fold(&node, &inputs, [6, 13, 18][dice(3)], &mut room) {
            folded.insert(node.op.clone());
            for array in results {
                assert_eq!(array.len(), array.dims.iter().product::<usize>(), "{node:?} of {arrays:?}");
            }
        }
    }
    let never: Vec<&&str> = ops.iter().filter(|op| !folded.contains(**op)).collect();
    assert!(never.is_empty(), "never folded: {never:?}");
}
