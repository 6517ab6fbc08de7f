//! Pass: convolutions whose sum may be split among workgroups, since the result's first reader adds up the parts: the
//! conversion of a graph output, or a cascade of pools, which keeps its input in workgroup memory. Another convolution
//! would read the parts over and over. Whether a split pays is decided by the choice of kernel.

use crate::graph::{Graph, NodeId, Op};
use crate::kernels::max_pool_cascade;
use crate::plan::{DeviceProfile, Slice};

/// Whether the result of `id` has a first reader, before all others, that adds up parts.
pub(super) fn reader_adds(graph: &Graph, profile: &DeviceProfile, places: &[Slice], id: NodeId) -> bool {
    let is_output = graph.outputs().iter().any(|(_, output)| *output == id);
    if is_output {
        return graph.readers()[id.index()] == 1;
    }
    let readers = graph.ids().zip(graph.nodes()).filter(|(_, node)| node.inputs.contains(&id));
    let (concats, others): (Vec<_>, Vec<_>) = readers.partition(|(_, node)| matches!(node.op, Op::Concat(_)));
    let [(reader, node)] = others[..] else { return false };
    let Op::MaxPoolCascade(cascade) = &node.op else { return false };
    // It also writes its input, which lies beside its results, and whatever reads that comes later.
    let [x, y] = [id, reader].map(|id| &places[id.index()]);
    (x.buffer, x.stride) == (y.buffer, y.stride)
        && concats.iter().all(|(_, concat)| concat.inputs.contains(&reader))
        && max_pool_cascade::adds_parts(profile, cascade, x)
}
