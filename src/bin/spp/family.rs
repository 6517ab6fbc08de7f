//! Every block of the family, small, with seeded weights.

use serde_json::{Value, json};
use spp_wgpu::Shape;
use spp_wgpu::case::Canonical;

/// One row per block, in the order of [`spp_wgpu::blocks::NAMES`].
pub(crate) fn family() -> [Canonical; 15] {
    let pair = json!({ "c1": 32, "c2": 32 });
    let row = |block: &str, args: &Value, shape: [u32; 4]| {
        let [n, c, h, w] = shape;
        let (name, args, shape) = (block.into(), args.clone(), Shape::new(n, c, h, w));
        Canonical { block: block.into(), name, args, shape, source: String::new() }
    };
    [
        row("spp", &pair, [1, 32, 20, 20]),
        row("sppf", &pair, [1, 32, 20, 20]),
        row("simsppf", &pair, [1, 32, 20, 20]),
        row("cspsppf", &pair, [1, 32, 20, 20]),
        row("simcspsppf", &pair, [1, 32, 20, 20]),
        row("sppcspc", &pair, [1, 32, 20, 20]),
        row("sppfcspc", &pair, [1, 32, 20, 20]),
        row("sppelan", &json!({ "c1": 32, "c2": 32, "c3": 16 }), [1, 32, 20, 20]),
        row("aspp", &json!({ "c1": 32, "c2": 21 }), [1, 32, 33, 29]),
        row("aspp_v3", &json!({ "c1": 32, "c2": 16, "rates": [6, 12, 18] }), [1, 32, 33, 29]),
        row("rfb", &json!({ "c1": 64, "c2": 64, "scale": 1.0, "visual": 2 }), [1, 64, 19, 19]),
        row("rfb_a", &json!({ "c1": 64, "c2": 64, "scale": 1.0 }), [1, 64, 38, 38]),
        row("pyramid_pool", &json!({ "levels": [4, 2, 1] }), [1, 64, 13, 13]),
        row("sppnet", &json!({ "ndf": 8, "hidden": 64, "classes": 10 }), [1, 3, 64, 48]),
        row("rfbnet", &json!({ "size": 300, "width": 0.0625 }), [1, 3, 300, 300]),
    ]
}
