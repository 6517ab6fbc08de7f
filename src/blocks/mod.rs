//! The systems of the family as their authors published them, one file each. A block adds plain nodes to a graph, named
//! after its keys in the `state_dict`; what can be fused is the planner's business.

use serde_json::Value;

use crate::error::{Error, Result, unknown};
use crate::graph::Graph;
use crate::tensor::Shape;
use crate::weights::{Scope, unique};

mod args;
mod aspp;
mod aspp_v3;
mod csp_sppf;
mod layers;
mod pyramid_pool;
mod rfb;
mod rfb_a;
mod rfbnet;
mod spp;
mod sppcspc;
mod sppelan;
mod sppf;
mod sppnet;

pub use aspp::Aspp;
pub use aspp_v3::AsppV3;
pub use csp_sppf::CspSppf;
pub use pyramid_pool::PyramidPool;
pub use rfb::Rfb;
pub use rfb_a::RfbA;
pub use rfbnet::RfbNet;
pub use spp::Spp;
pub use sppcspc::SppCspc;
pub use sppelan::SppElan;
pub use sppf::{Sppf, SppfKeys};
pub use sppnet::SppNet;

/// What [`build`] can build.
pub const NAMES: [&str; 15] = [
    "spp",
    "sppf",
    "simsppf",
    "cspsppf",
    "simcspsppf",
    "sppcspc",
    "sppfcspc",
    "sppelan",
    "aspp",
    "aspp_v3",
    "rfb",
    "rfb_a",
    "pyramid_pool",
    "sppnet",
    "rfbnet",
];

/// A block's arguments from text, for [`build`]. Errors: not JSON, or a key given twice.
pub fn args(text: &str) -> Result<Value> {
    unique::from_str(text).map_err(|error| Error::data("args", error.to_string()))
}

/// A whole graph of one block: the input is called `input`, the output `output`, or `output.loc` and `output.conf` for
/// `rfbnet`. `args` is a JSON object of the constructor's arguments; those with a default may be left out:
/// `{"c1": 512, "c2": 512, "k": 5}`. Blocks of the YOLO families take `"activation"`, spelt as [`Activation`]'s text.
///
/// [`Activation`]: crate::ops::Activation
///
/// Errors: an unknown block or argument, an argument that has the wrong type or is missing, and whatever the block's
/// own `build` refuses.
pub fn build(block: &str, args: &Value, input: Shape, weights: &Scope) -> Result<Graph> {
    let args = &args::Args::new(block, args)?;
    let mut graph = Graph::new();
    let g = &mut graph;
    let x = g.input("input", input)?;
    let y = match block {
        "spp" => Spp::from_args(args)?.build(g, x, weights),
        "sppf" => Sppf::from_args(args, Sppf::new)?.build(g, x, weights),
        "simsppf" => Sppf::from_args(args, Sppf::sim)?.build(g, x, weights),
        "cspsppf" => CspSppf::from_args(args, CspSppf::new)?.build(g, x, weights),
        "simcspsppf" => CspSppf::from_args(args, CspSppf::sim)?.build(g, x, weights),
        "sppcspc" => SppCspc::from_args(args, SppCspc::new)?.build(g, x, weights),
        "sppfcspc" => SppCspc::from_args(args, SppCspc::fast)?.build(g, x, weights),
        "sppelan" => SppElan::from_args(args)?.build(g, x, weights),
        "aspp" => Aspp::from_args(args)?.build(g, x, weights),
        "aspp_v3" => AsppV3::from_args(args)?.build(g, x, weights),
        "rfb" => Rfb::from_args(args)?.build(g, x, weights),
        "rfb_a" => RfbA::from_args(args)?.build(g, x, weights),
        "pyramid_pool" => PyramidPool::from_args(args)?.build(g, x, weights),
        "sppnet" => SppNet::from_args(args)?.build(g, x, weights),
        "rfbnet" => {
            let (loc, conf) = RfbNet::from_args(args)?.build(g, x, weights)?;
            graph.output("output.loc", loc)?;
            graph.output("output.conf", conf)?;
            graph.check()?;
            return Ok(graph);
        }
        _ => return Err(Error::param("blocks", "block", block, &unknown(block, &NAMES))),
    }?;
    graph.output("output", y)?;
    graph.check()?;
    Ok(graph)
}
