//! From a graph to a plan: passes that rewrite the graph, each with its file and switch in [`PlanOptions`], then the
//! placement of every result, and the lowering of each node to dispatches.

use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::plan::{DeviceProfile, Draft, Element, Plan, PlanOptions};

mod concat_slices;
mod few_bindings;
mod fold_affine;
mod fuse_add;
mod fuse_cascade;
mod fuse_maps;
mod fuse_sum;
mod group_convs;
mod image_bias;
mod linear_rows;
mod lower;
mod reuse_buffers;
mod split_sums;

impl Plan {
    /// Plans `graph` for a device. A pass never makes a graph fail: what exceeds a limit or a budget is planned again with
    /// fewer of them. Errors: an unsound graph, a tensor over the device's limits, a plan over the budgets of GPU or host
    /// memory. Nothing is allocated on a GPU, and no weights are packed before all of that is checked.
    pub fn new(graph: &Graph, profile: &DeviceProfile, options: &PlanOptions) -> Result<Self> {
        Self::draft(graph, profile, options).map(Draft::pack)
    }

    /// As [`Plan::new`], but nothing is packed yet.
    pub(crate) fn draft(graph: &Graph, profile: &DeviceProfile, options: &PlanOptions) -> Result<Draft> {
        graph.check()?;
        options.check_ports(graph)?;
        let needed = graph.cost().parameters.saturating_mul(Element::F32.bytes());
        if needed > options.max_host_bytes {
            let what = "packing the weights".into();
            return Err(Error::HostMemory { what, needed, max: options.max_host_bytes });
        }
        match draft(graph, profile, options) {
            Err(error) if error.is_limit() => with_fewer_passes(graph, profile, options, error),
            drafted => drafted,
        }
    }
}

/// The first plan that fits. Errors: of those that do not, the first, or the one that needs the least memory.
fn with_fewer_passes(graph: &Graph, profile: &DeviceProfile, options: &PlanOptions, mut error: Error) -> Result<Draft> {
    let mut options = options.clone();
    for switch in PASSES {
        *switch(&mut options) = false;
        match (draft(graph, profile, &options), &mut error) {
            (Ok(draft), _) => return Ok(draft),
            (Err(Error::MemoryBudget { planned, .. }), Error::MemoryBudget { planned: least, .. }) => {
                *least = planned.min(*least);
            }
            (Err(_), _) => {}
        }
    }
    Err(error)
}

/// The passes that can make a plan exceed a limit, in the order in which they are done without.
const PASSES: &[fn(&mut PlanOptions) -> &mut bool] = &[
    |options| &mut options.split_sums,
    |options| &mut options.fuse_cascade,
    |options| &mut options.group_convs,
    |options| &mut options.image_bias,
    |options| &mut options.fuse_sum,
    |options| &mut options.fuse_maps,
    |options| &mut options.concat_slices,
    |options| &mut options.fuse_add,
    |options| &mut options.fold_affine,
];

/// A plan that fits the device and the budgets.
fn draft(graph: &Graph, profile: &DeviceProfile, options: &PlanOptions) -> Result<Draft> {
    type Pass = fn(&Graph) -> Result<Graph>;
    // These two would make what the last one has to undo in another way.
    let few = profile.max_storage_buffers < few_bindings::ENOUGH;
    let passes: [(bool, Pass); 7] = [
        (true, linear_rows::run),
        (options.fold_affine, fold_affine::run),
        (options.fuse_sum, fuse_sum::run),
        (options.fuse_add && !few, fuse_add::run),
        (options.image_bias && !few, image_bias::run),
        (options.fuse_cascade, fuse_cascade::run),
        (few, few_bindings::run),
    ];
    let mut graph = graph.clone();
    for (_, pass) in passes.into_iter().filter(|(enabled, _)| *enabled) {
        graph = pass(&graph)?;
    }
    if options.fuse_maps {
        graph = fuse_maps::run(&graph, options.max_host_bytes)?;
    }
    let mut draft = lower::run(&graph, profile, options)?;
    reuse_buffers::drop_unused(&mut draft);
    if options.reuse_buffers {
        reuse_buffers::run(&mut draft);
    }
    draft.check(options)?;
    Ok(draft)
}
