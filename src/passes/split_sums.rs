//! Pass: convolutions whose sum may be split among workgroups, since the result's first reader adds up the parts: the
//! conversion of a graph output, or a cascade of pools, which keeps its input in workgroup memory. Another convolution
//! would read the parts over and over. Whether a split pays is decided by the choice of kernel.

use crate::graph::{Graph, NodeId, Op};
use crate::kernels::max_pool_cascade;
use crate::plan::{DeviceProfile, Slice};

/// Whether the result of `id` has a first reader, before all others, that adds up parts.
pub(super) fn reader_adds(
    graph: &Graph,
    reading: &[Vec<NodeId>],
    profile: &DeviceProfile,
    places: &[Slice],
    id: NodeId,
) -> bool {
    let readers = &reading[id.index()];
    let outputs = graph.outputs().iter().filter(|(_, output)| *output == id).count();
    if outputs > 0 {
        return outputs == 1 && readers.is_empty();
    }
    let node = |id: &NodeId| &graph.nodes()[id.index()];
    let (concats, others): (Vec<_>, Vec<_>) = readers.iter().partition(|id| matches!(node(id).op, Op::Concat(_)));
    let [reader] = others[..] else { return false };
    let Op::MaxPoolCascade(cascade) = &node(&reader).op else { return false };
    // It also writes its input, which lies beside its results, and whatever reads that comes later.
    let [x, y] = [id, reader].map(|id| &places[id.index()]);
    (x.buffer, x.stride) == (y.buffer, y.stride)
        && concats.iter().all(|concat| node(concat).inputs.contains(&reader))
        && max_pool_cascade::adds_parts(profile, cascade, x)
}
