//! Blocks: what they compute against PyTorch, what they need, and what they refuse.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use spp_wgpu::blocks::{
    self, Aspp, AsppV3, CspSppf, PyramidPool, Rfb, RfbA, RfbNet, Spp, SppCspc, SppElan, SppNet, Sppf,
};
use spp_wgpu::case::{Case, canonical, save_tensors};
use spp_wgpu::ops::Activation;
use spp_wgpu::reference::{self, Values, compare};
use spp_wgpu::weights::Weights;
use spp_wgpu::{Error, Graph, Node, NodeId, Op, Result, Shape, Tensor};

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn case_files() -> Vec<PathBuf> {
    let files = std::fs::read_dir(root("tests/data/cases")).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|e| e == "safetensors")).collect();
    files.sort();
    assert_eq!(files.len(), 36, "a case that is not read is not checked");
    files
}

const NORM: [&str; 4] = ["weight", "bias", "running_mean", "running_var"];

fn empty() -> Weights {
    Weights::from_tensors([]).unwrap()
}

/// PyTorch computed in f64 and stored f32, as the reference does: the results differ by two roundings of 2^-24.
/// A `scale` or a slope of 0.1 became an f32, which moves summands of unit scale by up to 2^-26.
fn close(case: &Case, got: f32, want: f32) -> bool {
    let tenth = case.args["scale"] == 0.1 || case.args["activation"] == "leaky_relu(0.1)";
    let summands = if tenth { 2f64.powi(-26) } else { 0.0 };
    if got == want || got.is_nan() && want.is_nan() {
        return true;
    }
    let (got, want) = (f64::from(got), f64::from(want));
    (got - want).abs() <= 2f64.powi(-23) * want.abs() + summands
}

#[test]
fn every_block_computes_what_pytorch_computes() {
    let mut failures = Vec::new();
    for path in case_files() {
        let case = Case::open(&path).unwrap();
        let name = path.file_stem().unwrap().to_string_lossy();
        let graph = case.graph().unwrap_or_else(|e| panic!("{name}: {e}"));
        let results = reference::run(&graph, std::slice::from_ref(&case.input)).unwrap();
        let declared: BTreeSet<_> = graph.outputs().iter().map(|(output, _)| output).collect();
        assert_eq!(declared, case.outputs.iter().map(|(output, ..)| output).collect(), "{name}");
        for ((output, _), got) in graph.outputs().iter().zip(results) {
            let (_, _, want) = case.outputs.iter().find(|(other, ..)| other == output).unwrap();
            assert_eq!(got.shape(), want.shape(), "{name} {output}");
            for (i, (&got, &want)) in got.data().iter().zip(want.data()).enumerate() {
                if !close(&case, got, want) {
                    failures.push(format!("{name} {output}[{i}]: got {got:?}, want {want:?}"));
                    break;
                }
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn a_file_without_weights_lacks_every_key_of_the_block_and_no_other() {
    for path in case_files() {
        let case = Case::open(&path).unwrap();
        let file = Weights::open(&path).unwrap();
        let old_keys = path.to_string_lossy().contains("old_keys");
        let keys = file.keys().filter_map(|key| key.strip_prefix("weights."));
        // A file that says nothing is taken for a new one, with its normalisations.
        let new = |key: &str| {
            if old_keys { key.replace(".conv.", ".block.conv.").replace(".bn.", ".block.bn.") } else { key.into() }
        };
        let fused = path.to_string_lossy().contains("_fused");
        let unfused = |key: String| match key.strip_suffix(".conv.bias") {
            Some(layer) if fused => NORM.map(|key| format!("{layer}.bn.{key}")).to_vec(),
            _ => vec![key],
        };
        let expected: Vec<String> = keys.map(new).flat_map(unfused).collect::<BTreeSet<_>>().into_iter().collect();
        match blocks::build(&case.block, &case.args, case.input.shape(), &empty().scope("")) {
            Ok(_) => assert!(expected.is_empty(), "{path:?}"),
            Err(Error::Weights { missing, unexpected, misshapen, .. }) => {
                assert_eq!((missing, unexpected, misshapen), (expected, vec![], vec![]), "{path:?}");
            }
            Err(other) => panic!("{path:?}: {other}"),
        }
    }
}

type Tensors = BTreeMap<String, (Vec<u32>, Vec<f32>)>;

/// The weights of a case file.
fn tensors(path: &Path) -> Tensors {
    let file = Weights::open(path).unwrap();
    let keys = file.keys().filter(|key| key.starts_with("weights."));
    keys.map(|key| (key["weights.".len()..].to_string(), file.tensor(key).unwrap())).collect()
}

fn build(case: &Case, tensors: &Tensors) -> Result<Graph> {
    let tensors = tensors.iter().map(|(key, (dims, values))| (key.clone(), dims.clone(), values.clone()));
    let weights = Weights::from_tensors(tensors)?;
    blocks::build(&case.block, &case.args, case.input.shape(), &weights.scope(""))
}

/// The convolution before each normalisation.
fn normalised(tensors: &Tensors) -> Vec<[String; 2]> {
    let norms = tensors.keys().filter_map(|key| key.strip_suffix(".running_var"));
    let pair = |bn: &str| {
        let conv = match bn {
            "BN1" => "conv2".into(),
            "BN2" => "conv3".into(),
            _ => match bn.strip_suffix(".bn") {
                Some(layer) => format!("{layer}.conv"),
                None => {
                    let (layers, i) = bn.rsplit_once('.').unwrap();
                    format!("{layers}.{}", i.parse::<u32>().unwrap() - 1)
                }
            },
        };
        assert!(tensors.contains_key(&format!("{conv}.weight")), "{conv} before {bn}");
        [conv, bn.to_string()]
    };
    norms.map(pair).collect()
}

/// The scale and the shift that a normalisation is, after it was taken out.
fn take_norm(tensors: &mut Tensors, bn: &str, eps: f64) -> (Vec<f64>, Vec<f64>) {
    let [gamma, beta, mean, var] = NORM.map(|key| tensors.remove(&format!("{bn}.{key}")).unwrap().1);
    let scale = gamma.iter().zip(&var).map(|(&gamma, &var)| f64::from(gamma) / (f64::from(var) + eps).sqrt());
    let scale: Vec<f64> = scale.collect();
    let shifts = beta.iter().zip(&mean).zip(&scale);
    (scale.clone(), shifts.map(|((&beta, &mean), scale)| f64::from(beta) - f64::from(mean) * scale).collect())
}

/// Fails unless the graph computes what the case says, within the bounds that the graph itself has.
fn assert_computes(what: &str, case: &Case, graph: &Graph) {
    let got = reference::run_with_bounds(graph, std::slice::from_ref(&case.input)).unwrap();
    for ((output, _), got) in graph.outputs().iter().zip(got) {
        let (_, _, want) = case.outputs.iter().find(|(other, ..)| other == output).unwrap();
        let want = Values { bound: got.bound.clone(), ..Values::exact(want) };
        let difference = compare(&got.rounded().unwrap(), &want).unwrap();
        assert!(difference.passes(), "{what} {output}: {difference}");
    }
}

/// The case files that have normalisations; every block that has any is among them.
fn cases_with_norms() -> Vec<(String, Case, Tensors)> {
    let mut cases = Vec::new();
    for path in case_files() {
        let (name, case) = (path.file_stem().unwrap().to_string_lossy().into_owned(), Case::open(&path).unwrap());
        let tensors = tensors(&path);
        // Infinities have no bound to compare within.
        if tensors.keys().any(|key| key.ends_with(".running_var")) && !name.contains("infinite") {
            cases.push((name, case, tensors));
        }
    }
    let seen: BTreeSet<_> = cases.iter().map(|(_, case, _)| case.block.as_str()).collect();
    let without = BTreeSet::from(["aspp", "pyramid_pool"]);
    assert_eq!(seen, blocks::NAMES.into_iter().filter(|name| !without.contains(name)).collect());
    cases
}

fn default_eps(block: &str) -> f64 {
    if ["aspp_v3", "rfb", "rfb_a", "sppnet", "rfbnet"].contains(&block) { 1e-5 } else { 1e-3 }
}

#[test]
fn every_block_loads_fused_normalisations() {
    for (name, case, mut tensors) in cases_with_norms() {
        for [conv, bn] in normalised(&tensors) {
            let (scale, shift) = take_norm(&mut tensors, &bn, default_eps(&case.block));
            let (dims, weight) = tensors.get_mut(&format!("{conv}.weight")).unwrap();
            let row = weight.len() / dims[0] as usize;
            weight.iter_mut().enumerate().for_each(|(i, w)| *w = (f64::from(*w) * scale[i / row]) as f32);
            let bias: Vec<f32> = shift.iter().map(|&shift| shift as f32).collect();
            tensors.insert(format!("{conv}.bias"), (vec![bias.len() as u32], bias));
        }
        let graph = build(&case, &tensors).unwrap();
        let norms = graph.nodes().iter().filter(|node| matches!(node.op, Op::AffineActivation(_)));
        assert_eq!(norms.count(), usize::from(case.block == "sppnet"), "{name}: only LReLU1 is left");
        assert_computes(&name, &case, &graph);
    }
}

/// As PyTorch would: the convolution adds its bias, then the normalisation.
#[test]
fn a_bias_before_a_normalisation_is_added() {
    for (name, case, mut tensors) in cases_with_norms() {
        for [conv, bn] in normalised(&tensors) {
            let (_, mean) = tensors.get_mut(&format!("{bn}.running_mean")).unwrap();
            let bias: Vec<f32> = (0..mean.len()).map(|i| i as f32 / 8.0 - 1.0).collect();
            mean.iter_mut().zip(&bias).for_each(|(mean, bias)| *mean += bias);
            tensors.insert(format!("{conv}.bias"), (vec![bias.len() as u32], bias));
        }
        assert_computes(&name, &case, &build(&case, &tensors).unwrap());
    }
}

#[test]
fn a_normalisation_in_part_is_refused() {
    for (name, case, tensors) in cases_with_norms() {
        let [conv, bn] = normalised(&tensors).swap_remove(0);
        for fused in [false, true] {
            for key in NORM.map(|key| format!("{bn}.{key}")) {
                let mut part = tensors.clone();
                part.remove(&key).unwrap();
                if fused {
                    let channels = part[&format!("{conv}.weight")].0[0];
                    part.insert(format!("{conv}.bias"), (vec![channels], vec![0.0; channels as usize]));
                }
                let Err(Error::Weights { missing, unexpected, misshapen, .. }) = build(&case, &part) else { panic!() };
                assert_eq!((missing, unexpected, misshapen), (vec![key], vec![], vec![]), "{name}");
            }
        }
    }
}

#[test]
fn every_block_of_the_yolo_families_takes_every_activation() {
    let yolo = ["spp", "sppf", "simsppf", "cspsppf", "simcspsppf", "sppcspc", "sppfcspc", "sppelan"];
    let names =
        ["silu", "relu", "hardswish", "leaky_relu(0.1)", "leaky_relu(-2)", "sigmoid", "none", "clip(0, 6)", "mish"];
    let shape = Shape::new(1, 16, 6, 5);
    let activations = |block: &str, args: &Value| {
        let graph = blocks::build(block, args, shape, &Weights::seeded(1).scope("")).unwrap();
        let of = |node: &Node| if let Op::AffineActivation(op) = &node.op { Some(op.activation) } else { None };
        graph.nodes().iter().filter_map(of).collect::<Vec<_>>()
    };
    for block in yolo {
        let mut args = json!({"c1": 16, "c2": 12});
        if block == "sppelan" {
            args["c3"] = 6.into();
        }
        let default = if block.starts_with("sim") { Activation::Relu } else { Activation::Silu };
        assert!(activations(block, &args).iter().all(|activation| *activation == default), "{block}");
        for name in names {
            args["activation"] = name.into();
            let found = activations(block, &args);
            assert!(
                !found.is_empty() && found.iter().all(|a| *a == name.parse().unwrap()),
                "{block} {name}: {found:?}"
            );
        }
    }
    let own = json!({"c1": 16, "c2": 12, "activation": "relu", "cv1_activation": "none"});
    assert_eq!(activations("sppf", &own), [Activation::None, Activation::Relu]);
}

#[test]
fn a_shortcut_is_taken_where_the_channels_allow_it() {
    let stems = |c2: u32, shortcut: bool| {
        let args = json!({"c1": 8, "c2": c2, "shortcut": shortcut});
        let graph = blocks::build("sppf", &args, Shape::new(1, 8, 5, 5), &Weights::seeded(1).scope("")).unwrap();
        graph.nodes().iter().filter(|node| node.op.stem() == "add").count()
    };
    assert_eq!([stems(8, true), stems(8, false), stems(6, true)], [1, 0, 0]);
}

#[test]
fn every_canonical_row_builds_with_the_published_shapes() {
    let rows = canonical().unwrap();
    let mut seen = BTreeSet::new();
    for row in &rows {
        seen.insert(row.block.as_str());
        let graph = row.graph(1).unwrap();
        let shapes: Vec<_> =
            graph.outputs().iter().map(|(name, id)| (name.as_str(), graph.shape(*id).unwrap())).collect();
        let output = |c, h, w| vec![("output", Shape::new(1, c, h, w))];
        let nets = |priors, classes| {
            vec![("output.loc", Shape::new(1, priors, 1, 4)), ("output.conf", Shape::new(1, priors, 1, classes))]
        };
        let expected = match row.name.as_str() {
            "pyramid_sppnet" => output(512 * 21, 1, 1),
            "sppnet_224" => output(1000, 1, 1),
            "rfbnet300" => nets(11_620, 21),
            "rfbnet512" => nets(32_756, 21),
            _ => output(row.args["c2"].as_u64().unwrap() as u32, row.shape.h, row.shape.w),
        };
        assert_eq!(shapes, expected, "{}", row.name);
    }
    assert_eq!(seen, blocks::NAMES.into_iter().collect(), "every block has a row");
    let input = |seed| rows[0].input(seed).unwrap();
    assert_eq!(input(1).shape(), rows[0].shape);
    assert!(input(1) == input(1) && input(1) != input(2));
}

#[test]
fn sppf_of_5_is_spp_of_5_9_and_13() {
    let weights = Weights::seeded(5);
    let mut graph = Graph::new();
    let shape = Shape::new(2, 6, 15, 7);
    let x = graph.input("x", shape).unwrap();
    // The same weights twice: the second needs names of its own.
    let spp = Spp::new(6, 5).build(&mut graph, x, &weights.scope("neck")).unwrap();
    let clash = Sppf::new(6, 5).build(&mut graph, x, &weights.scope("neck")).unwrap_err();
    assert!(clash.to_string().contains("'neck.cv1.conv'"), "{clash}");
    let sppf = Sppf::new(6, 5).build(&mut graph, x, &weights.scope("neck").named("fast")).unwrap();
    graph.output("spp", spp).unwrap();
    graph.output("sppf", sppf).unwrap();
    let data = (0..shape.len()).map(|i| ((i * 7919 % 1013) as f32 - 500.0) / 300.0).collect();
    let [a, b] = &reference::run(&graph, &[Tensor::new(shape, data).unwrap()]).unwrap()[..] else { panic!() };
    assert_eq!(a, b);
    assert!(a.data().iter().any(|v| *v != a.data()[0]));
}

#[test]
fn blocks_are_plain_nodes_called_after_their_keys() {
    let nodes = |scope, prefix: &str| {
        let weights = Weights::seeded(1);
        let mut graph = Graph::new();
        let x = graph.input("x", Shape::new(1, 8, 5, 6)).unwrap();
        let y = Sppf::sim(8, 3).build(&mut graph, x, &weights.scope(scope).named(prefix)).unwrap();
        graph.output("y", y).unwrap();
        graph.nodes().iter().map(|node| format!("{} {}", node.op.stem(), node.name)).collect::<Vec<_>>()
    };
    let expected = [
        "input x",
        "conv sppf.cv1.block.conv",
        "affine_activation sppf.cv1.block.bn",
        "max_pool sppf.m.0",
        "max_pool sppf.m.1",
        "max_pool sppf.m.2",
        "concat sppf.cat",
        "conv sppf.cv2.block.conv",
        "affine_activation sppf.cv2.block.bn",
    ];
    assert_eq!(nodes("model.9", ""), expected);
    assert_eq!(nodes("", "neck.")[1], "conv neck.sppf.cv1.block.conv");
}

#[test]
fn both_spellings_of_yolov6_are_read_but_not_at_once() {
    let case = Case::open(root("tests/data/cases/simsppf_old_keys.safetensors")).unwrap();
    let file = Weights::open(root("tests/data/cases/simsppf_old_keys.safetensors")).unwrap();
    let old = file.keys().filter(|key| key.starts_with("weights.")).map(|key| {
        let (dims, values) = file.tensor(key).unwrap();
        (key.replace("weights.", ""), dims, values)
    });
    let old: Vec<_> = old.collect();
    let spelt = |(key, dims, values): &(String, Vec<u32>, Vec<f32>)| {
        (key.replace(".conv.", ".block.conv.").replace(".bn.", ".block.bn."), dims.clone(), values.clone())
    };
    let new: Vec<_> = old.iter().map(spelt).collect();
    let build = |tensors: Vec<_>| {
        let weights = Weights::from_tensors(tensors).unwrap();
        blocks::build(&case.block, &case.args, case.input.shape(), &weights.scope(""))
    };
    let run = |graph: Graph| reference::run(&graph, std::slice::from_ref(&case.input)).unwrap();
    assert_eq!(run(build(old.clone()).unwrap()), run(build(new.clone()).unwrap()));
    let Err(Error::Weights { missing, unexpected, misshapen, .. }) = build([old, new].concat()) else { panic!() };
    assert_eq!((missing.len(), unexpected.len(), misshapen.len()), (0, 10, 2));
    assert!(misshapen[0].contains("sppf.cv1.conv.weight is present with and without '.block'"), "{misshapen:?}");
}

#[test]
fn a_net_may_carry_the_layers_its_authors_left_unused() {
    let path = root("assets/digits/sppnet_digits.safetensors");
    let file = Weights::open(&path).unwrap();
    let tensors = || file.keys().map(|key| (key.to_string(), file.tensor(key).unwrap()));
    let tensors = || tensors().map(|(key, (dims, values))| (key, dims, values)).collect::<Vec<_>>();
    let args: Value = serde_json::from_str(file.metadata("args").unwrap()).unwrap();
    let build = |extra: &[&str]| {
        let extra = extra.iter().map(|key| (key.to_string(), vec![1], vec![0.0]));
        let weights = Weights::from_tensors(tensors().into_iter().chain(extra)).unwrap();
        blocks::build("sppnet", &args, Shape::new(1, 1, 24, 31), &weights.scope(""))
    };
    build(&["BN3.weight", "BN3.running_mean", "conv5.weight", "BN1.num_batches_tracked"]).unwrap();
    let error = build(&["BN3.weight", "BN30.weight", "conv5"]).unwrap_err().to_string();
    assert_eq!(error, "weights: unexpected: BN30.weight");
    // Weights without input and output are not a case.
    assert!(Case::open(&path).unwrap_err().to_string().contains("tensor 'BN1.bias'"));
}

type Built = Result<NodeId>;

#[test]
fn what_does_not_fit_is_refused_with_the_remedy() {
    fn row(c: u32, build: impl Fn(&mut Graph, NodeId, &Weights) -> Built) -> Built {
        let mut graph = Graph::new();
        let x = graph.input("x", Shape::new(1, c, 40, 40)).unwrap();
        build(&mut graph, x, &empty())
    }
    macro_rules! build {
        ($c:expr, $block:expr) => {
            row($c, |graph, x, weights| $block.build(graph, x, &weights.scope("net.")))
        };
    }
    let rows: Vec<(Built, &str)> = vec![
        (build!(8, Sppf::new(16, 8)), "sppf 'net': c1 = 16, but 'x' is [1, 8, 40, 40]"),
        (build!(8, Spp::new(7, 8)), "spp 'net': c1 = 7"),
        (build!(8, AsppV3::new(7, 8)), "aspp_v3 'net': c1 = 7"),
        (build!(8, Sppf { k: 4, ..Sppf::new(8, 8) }), "k = 4: must be odd"),
        (build!(8, Sppf { n: 0, ..Sppf::new(8, 8) }), "n = 0: needs at least one pool"),
        (build!(8, SppElan::new(7, 8, 4)), "sppelan 'net': c1 = 7"),
        (build!(8, SppElan::new(8, 8, 0)), "c3 = 0: makes 0 channels inside"),
        (build!(8, SppElan { k: 6, ..SppElan::new(8, 8, 4) }), "k = 6: must be odd"),
        (build!(8, Spp { activation: Activation::LeakyRelu(f32::NAN), ..Spp::new(8, 8) }), "slope = NaN"),
        (build!(8, Sppf { k: 0, ..Sppf::sim(8, 8) }), "k = 0: must be odd"),
        (build!(8, Spp { k: vec![5, 8], ..Spp::new(8, 8) }), "k = 8: must be odd"),
        (build!(8, Spp { k: vec![], ..Spp::new(8, 8) }), "at least one kernel"),
        (build!(8, Spp { k: vec![u32::MAX], ..Spp::new(8, 8) }), "over"),
        (build!(8, SppCspc { k: [5, 9, 12], ..SppCspc::new(8, 8) }), "k = 12: must be odd"),
        (build!(8, CspSppf { k: 2, ..CspSppf::new(8, 8) }), "k = 2: must be odd"),
        (build!(1, Sppf::new(1, 8)), "c1 = 1: makes 0 channels inside"),
        (build!(8, Spp::new(8, 0)), "at least one output channel"),
        (build!(8, SppCspc { e: 0.01, ..SppCspc::new(8, 8) }), "e = 0.01"),
        (build!(8, SppCspc { e: f64::NAN, ..SppCspc::new(8, 8) }), "e = NaN"),
        (build!(8, CspSppf { e: -1.0, ..CspSppf::new(8, 8) }), "e = -1"),
        (build!(8, CspSppf { e: f64::INFINITY, ..CspSppf::sim(8, 8) }), "e = inf"),
        (build!(8, CspSppf { e: 1e9, ..CspSppf::sim(8, 8) }), "e = 1000000000"),
        (build!(8, Aspp { rates: vec![], ..Aspp::new(8, 2) }), "at least one rate"),
        (build!(8, Aspp { rates: vec![6, 0], ..Aspp::new(8, 2) }), "dilation = 0"),
        (build!(8, AsppV3 { rates: vec![u32::MAX], ..AsppV3::new(8, 2) }), "over"),
        (build!(15, Rfb::new(15, 8)), "c1 = 15: must be at least 16"),
        (build!(16, Rfb { stride: 0, ..Rfb::new(16, 8) }), "stride = 0"),
        (build!(16, Rfb { visual: u32::MAX, ..Rfb::new(16, 8) }), "over"),
        (build!(16, Rfb { scale: f32::NAN, ..Rfb::new(16, 8) }), "scale = NaN"),
        (build!(15, RfbA::new(15, 8)), "c1 = 15: must be at least 16"),
        (build!(16, RfbA { stride: 2, ..RfbA::new(16, 8) }), "do not fit together"),
        (build!(8, PyramidPool { levels: vec![33], ..PyramidPool::new() }), "adaptive"),
        (build!(1, SppNet { ndf: u32::MAX, ..SppNet::new(1) }), "over"),
        (build!(3, SppNet::new(1)), "input_nc = 1"),
        (row(3, |g, x, w| Ok(RfbNet::new(300, 21).build(g, x, &w.scope(""))?.0)), "size = 300, but the input is"),
        (row(3, |g, x, w| Ok(RfbNet::new(301, 21).build(g, x, &w.scope(""))?.0)), "size = 301: must be 300 or 512"),
        (row(3, |g, x, w| Ok(RfbNet::new(300, 0).build(g, x, &w.scope(""))?.0)), "num_classes = 0"),
    ];
    for (i, (result, text)) in rows.into_iter().enumerate() {
        let error = result.expect_err(text);
        assert!(
            !matches!(error, Error::Weights { .. }) && error.to_string().contains(text),
            "row {i}, {text}: {error}"
        );
    }
    // The narrowest that fit.
    for (c, block) in [(2, "sppf"), (16, "rfb"), (16, "rfb_a"), (2, "spp")] {
        let args = json!({"c1": c, "c2": 1});
        blocks::build(block, &args, Shape::new(1, c, 1, 1), &Weights::seeded(1).scope("")).unwrap();
    }
    // A variance that batch normalisation cannot use: from the file, not from a stand-in.
    let mut case = Weights::seeded(1).scope("").batch_norm("bn", 4).unwrap();
    case[3][2] = -1.0;
    let keys = ["weight", "bias", "running_mean", "running_var"];
    let tensors = keys.iter().zip(case).map(|(key, values)| (format!("cv1.bn.{key}"), vec![4], values));
    let weights = Weights::from_tensors(tensors).unwrap();
    let error = row(8, |graph, x, _| Sppf::new(8, 8).build(graph, x, &weights.scope(""))).unwrap_err().to_string();
    assert!(error.contains("affine_activation 'cv1.bn': running_var = -1"), "{error}");
}

#[test]
fn names_and_arguments_are_checked() {
    let build =
        |block, args: Value| blocks::build(block, &args, Shape::new(1, 8, 32, 25), &Weights::seeded(1).scope(""));
    let rows = [
        ("spff", json!({}), "did you mean 'sppf'"),
        ("SPP", json!({}), "is unknown"),
        ("", json!({}), "is unknown"),
        ("sppf", json!([8, 8]), "must be a JSON object"),
        ("sppf", Value::Null, "must be a JSON object"),
        ("sppf", json!({"c1": 8}), "c2 = nothing: must be given"),
        ("aspp", json!({"c1": 8, "c2": 8, "rate": [6]}), "did you mean 'rates'"),
        ("sppf", json!({"c1": 8, "c2": 8, "rates": [6]}), "args = rates"),
        ("sppf", json!({"c1": -8, "c2": 8}), "c1 = -8: must be an integer"),
        ("sppf", json!({"c1": 8.0, "c2": 8}), "c1 = 8.0: must be an integer"),
        ("sppf", json!({"c1": 4294967296u64, "c2": 8}), "c1 = 4294967296"),
        ("sppf", json!({"c1": 8, "c2": 8, "k": [5]}), "k = [5]: must be an integer"),
        ("spp", json!({"c1": 8, "c2": 8, "k": 5}), "k = 5: must be a list"),
        ("sppcspc", json!({"c1": 8, "c2": 8, "k": [5, 9]}), "three integers"),
        ("sppelan", json!({"c1": 8, "c2": 8}), "c3 = nothing: must be given"),
        ("sppf", json!({"c1": 8, "c2": 8, "shortcut": 1}), "shortcut = 1: must be true or false"),
        (
            "sppf",
            json!({"c1": 8, "c2": 8, "activation": "SiLU"}),
            "activation = SiLU: is unknown; did you mean 'silu'?",
        ),
        ("sppf", json!({"c1": 8, "c2": 8, "activation": "swish2"}), "is unknown. Known: none"),
        ("spp", json!({"c1": 8, "c2": 8, "activation": "leaky_relu"}), "leaky_relu(0.1)"),
        ("sppcspc", json!({"c1": 8, "c2": 8, "activation": null}), "activation = null: must be text"),
        ("rfb", json!({"c1": 16, "c2": 8, "activation": "relu"}), "args = activation: is unknown"),
        ("sppcspc", json!({"c1": 8, "c2": 8, "e": "half"}), "must be a number"),
        ("pyramid_pool", json!({"mode": "adaptiv"}), "'padded' or 'adaptive'"),
        ("rfb", json!({"c1": 8, "c2": 8, "scale": null}), "scale = null"),
        ("rfbnet", json!({"width": 0}), "width = 0"),
    ];
    for (block, args, text) in rows {
        let error = build(block, args).unwrap_err();
        assert!(matches!(error, Error::InvalidParam { .. }), "{error:?}");
        assert!(error.to_string().contains(text), "{text}: {error}");
    }
    // Arguments reach the block.
    let nodes =
        |block, args| format!("{:?}", build(block, args).unwrap().nodes().iter().map(|n| &n.op).collect::<Vec<_>>());
    for (block, base, changed) in [
        ("sppf", json!({"c1": 8, "c2": 8}), json!({"c1": 8, "c2": 8, "eps": 0.5})),
        ("spp", json!({"c1": 8, "c2": 8}), json!({"c1": 8, "c2": 8, "k": [3]})),
        ("simcspsppf", json!({"c1": 8, "c2": 8}), json!({"c1": 8, "c2": 8, "k": 3})),
        ("sppfcspc", json!({"c1": 8, "c2": 8}), json!({"c1": 8, "c2": 8, "k": [7, 9, 13]})),
        (
            "sppnet",
            json!({"input_nc": 8, "ndf": 1, "hidden": 2, "levels": [1]}),
            json!({"input_nc": 8, "ndf": 1, "hidden": 2, "levels": [1], "classes": 3}),
        ),
    ] {
        let defaults = nodes(block, base.clone());
        assert_eq!(defaults, nodes(block, base));
        assert_ne!(defaults, nodes(block, changed), "{block}");
    }
}

#[test]
fn saved_tensors_come_back_and_nothing_is_overwritten_unasked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.safetensors");
    let save = |value: f32, force| {
        let scores: [f32; 6] = [value, f32::NAN, -0.0, f32::INFINITY, 1e-40, 6.0];
        save_tensors(&path, &[("output".into(), vec![1, 6], &scores), ("none".into(), vec![0, 2], &[])], force)
    };
    let first = || Weights::open(&path).unwrap().tensor("output").unwrap().1;
    save(1.0, false).unwrap();
    assert_eq!(
        first().iter().map(|v| v.to_bits()).collect::<Vec<_>>()[1..5],
        [0x7fc0_0000, 0x8000_0000, 0x7f80_0000, 71362]
    );
    assert_eq!(Weights::open(&path).unwrap().tensor("none").unwrap(), (vec![0, 2], vec![]));
    let error = save(2.0, false).unwrap_err().to_string();
    assert!(error.contains("out.safetensors") && error.contains("exists"), "{error}");
    assert_eq!(first()[0], 1.0);
    save(2.0, true).unwrap();
    assert_eq!(first()[0], 2.0);
    // A failure leaves the old file and no other.
    let wrong = save_tensors(&path, &[("output".into(), vec![2, 6], &[0.0; 6])], true).unwrap_err().to_string();
    assert!(wrong.contains("[2, 6]"), "{wrong}");
    assert!(save_tensors(folder.path(), &[], true).unwrap_err().to_string().contains("directory"));
    assert!(save_tensors(folder.path().join("no/where"), &[], false).is_err());
    assert!(save_tensors("", &[], false).is_err());
    assert_eq!(first()[0], 2.0);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_file_that_is_not_a_case_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("case.safetensors");
    let open = |metadata: &str, tensors: &[(&str, &str)]| {
        let entry = |(i, (key, shape)): (usize, &(&str, &str))| {
            let (from, to) = (16 * i, 16 * i + 16);
            format!(r#","{key}":{{"dtype":"F32","shape":{shape},"data_offsets":[{from},{to}]}}"#)
        };
        let entries: String = tensors.iter().enumerate().map(entry).collect();
        let header = format!(r#"{{"__metadata__":{metadata}{entries}}}"#);
        let data = vec![0; 16 * tensors.len()];
        std::fs::write(&path, [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &data].concat()).unwrap();
        Case::open(&path)
    };
    let sound = r#"{"block":"pyramid_pool","args":"{\"levels\":[1]}"}"#;
    let both = [("input", "[1,4,1,1]"), ("output", "[1,4]")];
    let case = open(sound, &both).unwrap();
    assert_eq!((case.block.as_str(), case.outputs[0].2.shape()), ("pyramid_pool", Shape::new(1, 4, 1, 1)));
    case.graph().unwrap();
    assert_eq!(
        open(sound, &[both[0], ("output.loc", "[1,2,2]")]).unwrap().outputs[0].2.shape(),
        Shape::new(1, 2, 1, 2)
    );
    let rows = [
        (r#"{"args":"{}"}"#, &both[..], "'block' is missing"),
        (r#"{"block":"spp"}"#, &both, "'args' is missing"),
        (r#"{"block":"spp","args":"{"}"#, &both, "args"),
        (sound, &both[..1], "needs the tensors"),
        (sound, &both[1..], "needs the tensors"),
        (sound, &[both[0], both[1], ("output.x", "[4]")], "'output.x': has 1 dimensions"),
        (sound, &[both[0], both[1], ("extra", "[1,4]")], "is not part of a case"),
        (sound, &[("input", "[1,1,1,2,2]"), both[1]], "has 5 dimensions"),
    ];
    for (metadata, tensors, text) in rows {
        let error = open(metadata, tensors).unwrap_err();
        assert!(matches!(&error, Error::File { .. }) && error.to_string().contains(text), "{text}: {error}");
    }
    assert!(Case::open(folder.path().join("missing")).is_err());
}
