//! The pooling layer of He et al., "Spatial Pyramid Pooling in Deep Convolutional Networks for Visual Recognition",
//! <https://arxiv.org/abs/1406.4729>; code as in <https://github.com/yifanjiang19/sppnet-pytorch>.

use super::args::Args;
use crate::error::Result;
use crate::graph::{Graph, NodeId};
use crate::ops::{self, PyramidMode};
use crate::weights::Scope;

/// [`ops::PyramidPool`] as a block: `[n, c, h, w] → [n, c * Σ levels², 1, 1]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PyramidPool {
    /// Bins along each side, one entry per level.
    pub levels: Vec<u32>,
    /// How bins are laid out.
    pub mode: PyramidMode,
}

impl Default for PyramidPool {
    fn default() -> Self {
        Self::new()
    }
}

impl PyramidPool {
    /// Levels 4, 2 and 1, padded.
    pub fn new() -> Self {
        Self { levels: vec![4, 2, 1], mode: PyramidMode::Padded }
    }

    /// Adds the block, which has no weights. Errors: as [`ops::PyramidPool::output_shape`], and
    /// [`crate::Error::Weights`] if the scope holds any key.
    pub fn build(&self, graph: &mut Graph, x: NodeId, weights: &Scope) -> Result<NodeId> {
        let y = self.add(graph, x, weights)?;
        weights.finish()?;
        Ok(y)
    }

    pub(super) fn add(&self, graph: &mut Graph, x: NodeId, weights: &Scope) -> Result<NodeId> {
        let pool = ops::PyramidPool { levels: self.levels.clone(), mode: self.mode };
        graph.pyramid_pool(weights.path("spp"), x, pool)
    }

    pub(super) fn from_args(args: &Args) -> Result<Self> {
        args.known(&["levels", "mode"])?;
        let default = Self::new();
        Ok(Self { levels: args.counts("levels", default.levels)?, mode: args.mode(default.mode)? })
    }
}
