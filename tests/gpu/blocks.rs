//! Every case file against PyTorch's numbers, and the identities between blocks.

use std::path::Path;

use serde_json::json;
use spp_wgpu::reference::{Reference, Values, compare};
use spp_wgpu::{Case, PlanOptions, Precision, Shape, Weights, blocks};

use crate::harness::{Data, assert_same_bits, described, in_f16, options, random, run, run_on, ways_on_both};

#[test]
fn every_case_gives_pytorchs_numbers() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/cases");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let case = Case::open(&path).unwrap();
        let graph = case.graph().unwrap();
        let single = ways_on_both();
        for (precision, ways) in [(Precision::F16, in_f16(&single)), (Precision::F32, single)] {
            let reference = Reference { precision, ..Default::default() };
            let bounds = reference.run_with_bounds(&graph, std::slice::from_ref(&case.input)).unwrap();
            for way in ways {
                let got = run_on(way.1, &graph, std::slice::from_ref(&case.input), &way.2);
                for (i, (name, _)) in graph.outputs().iter().enumerate() {
                    let (_, _, want) = case.outputs.iter().find(|(key, ..)| key == name).unwrap();
                    let Values { bound, cancellation, .. } = bounds[i].clone();
                    let want = Values { bound, cancellation, precision, ..Values::exact(want) };
                    let difference = compare(&got[i], &want).unwrap();
                    assert!(difference.passes(), "{}, {}, {name}: {difference}", path.display(), described(&way));
                }
            }
        }
        count += 1;
    }
    assert_eq!(count, 36);
}

/// Chained pools of 5 are pools of 5, 9 and 13: the whole blocks agree to the bit, whatever the input holds.
#[test]
fn sppf_equals_spp_bit_for_bit() {
    let shape = Shape::new(2, 10, 13, 17);
    let mut x = [random(shape, 1, Data::Uniform)];
    for (i, special) in [(20, f32::NAN), (45, f32::INFINITY), (100, f32::NEG_INFINITY), (3, -0.0)] {
        x[0].data_mut()[i] = special;
    }
    let weights = Weights::seeded(7);
    let build = |block, args| blocks::build(block, &args, shape, &weights.scope("")).unwrap();
    let spp = build("spp", json!({"c1": 10, "c2": 6, "k": [5, 9, 13]}));
    let sppf = build("sppf", json!({"c1": 10, "c2": 6, "k": 5}));
    for (plan, options) in options() {
        let [spp, sppf] = [&spp, &sppf].map(|graph| run(graph, &x, &options));
        assert_same_bits(plan, &sppf[0], &spp[0]);
    }
    let fused = run(&sppf, &x, &PlanOptions::default());
    assert!(fused[0].data().iter().any(|v| v.is_nan()) && fused[0].data().iter().any(|v| v.is_finite()));
}
