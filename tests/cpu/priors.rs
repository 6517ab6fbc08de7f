//! The prior boxes of RFBNet against its authors'.

use std::fs;

use safetensors::SafeTensors;
use spp_wgpu::detection::{PriorConfig, priors};

/// The published boxes are computed in f64 and rounded once to f32, like ours. Only the order of operations may
/// differ, which moves a value by a few units of f64 and so the rounded one, at most 1, by at most 2⁻²⁴.
#[test]
fn priors_are_the_published_ones() {
    let bytes = fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/priors.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let configs = [("voc_300", PriorConfig::voc(300), 11_620), ("coco_512", PriorConfig::coco(512), 32_756)];
    for (name, config, count) in configs {
        let expected = file.tensor(name).unwrap();
        assert_eq!(expected.shape(), [count, 4]);
        let expected = expected.data().as_chunks::<4>().0.iter().map(|&value| f32::from_le_bytes(value));
        let ours = priors(&config.unwrap()).unwrap();
        assert_eq!(ours.len(), count, "{name}");
        for (i, (expected, ours)) in expected.zip(ours.as_flattened()).enumerate() {
            assert!((expected - ours).abs() <= 2_f32.powi(-24), "{name} {}.{}: {expected} {ours}", i / 4, i % 4);
        }
    }
}
