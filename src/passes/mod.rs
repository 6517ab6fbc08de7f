//! From a graph to a plan: passes that rewrite the graph, each with its file and switch in [`PlanOptions`], then the
//! placement of every result, and the lowering of each node to dispatches.

use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::plan::{DeviceProfile, Plan, PlanOptions};

mod concat_slices;
mod fold_affine;
mod fuse_add;
mod fuse_cascade;
mod fuse_sum;
mod group_convs;
mod image_bias;
mod lower;
mod reuse_buffers;
mod split_sums;

impl Plan {
    /// Plans `graph` for a device. Errors: an unsound graph, a tensor over the device's limits, a plan over the memory
    /// budget. Nothing is allocated on a GPU.
    pub fn new(graph: &Graph, profile: &DeviceProfile, options: &PlanOptions) -> Result<Self> {
        graph.check()?;
        let mut graph = graph.clone();
        if options.fold_affine {
            graph = fold_affine::run(&graph)?;
        }
        if options.fuse_sum {
            graph = fuse_sum::run(&graph)?;
        }
        if options.fuse_add {
            graph = fuse_add::run(&graph)?;
        }
        if options.image_bias {
            graph = image_bias::run(&graph)?;
        }
        if options.fuse_cascade {
            graph = fuse_cascade::run(&graph)?;
        }
        let lowered = |options: &PlanOptions| {
            let mut plan = lower::run(&graph, profile, options)?;
            reuse_buffers::drop_unused(&mut plan);
            if options.reuse_buffers {
                reuse_buffers::run(&mut plan);
            }
            plan.check_limits(profile, options.max_bytes)?;
            Ok(plan)
        };
        match lowered(options) {
            // Parts of sums also need memory.
            Err(Error::MemoryBudget { .. }) if options.split_sums => {
                lowered(&PlanOptions { split_sums: false, ..options.clone() })
            }
            plan => plan,
        }
    }
}
