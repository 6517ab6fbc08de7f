//! Pass: tensors that are not alive at the same time share a buffer. Buffers stay apart from each other: one dispatch
//! never reads and writes the same one, and wgpu puts a barrier between any two that touch one.

use std::collections::HashMap;

use super::{Buffer, BufferId, Plan, Role};

pub(super) fn run(plan: &mut Plan) {
    let mut last_use: HashMap<BufferId, usize> = HashMap::new();
    for (at, step) in plan.steps.iter().enumerate() {
        last_use.extend(step.bindings.iter().map(|binding| (binding.buffer, at)));
    }
    let mut stands_for: HashMap<BufferId, BufferId> = HashMap::new();
    let mut free: Vec<BufferId> = Vec::new();
    for at in 0..plan.steps.len() {
        for binding in plan.steps[at].bindings.clone() {
            let id = binding.buffer;
            if plan.buffers[id.index()].role == Role::Scratch && !stands_for.contains_key(&id) {
                let chosen = take(&mut free, &plan.buffers, plan.buffers[id.index()].bytes).unwrap_or(id);
                let bytes = plan.buffers[id.index()].bytes.max(plan.buffers[chosen.index()].bytes);
                plan.buffers[chosen.index()].bytes = bytes;
                stands_for.insert(id, chosen);
            }
        }
        let ended = plan.steps[at].bindings.iter().filter(|binding| last_use[&binding.buffer] == at);
        let mut ended: Vec<BufferId> = ended.filter_map(|b| stands_for.get(&b.buffer).copied()).collect();
        ended.sort_unstable();
        ended.dedup();
        free.extend(ended);
    }
    renumber(plan, |id| stands_for.get(&id).copied().unwrap_or(id));
    drop_unused(plan);
}

/// The free buffer that fits `bytes` best: the smallest that is large enough, else the largest.
fn take(free: &mut Vec<BufferId>, buffers: &[Buffer], bytes: u64) -> Option<BufferId> {
    let size = |id: &BufferId| buffers[id.index()].bytes;
    let fits = free.iter().copied().filter(|id| size(id) >= bytes).min_by_key(size);
    let chosen = fits.or_else(|| free.iter().copied().max_by_key(size))?;
    free.retain(|&id| id != chosen);
    Some(chosen)
}

/// Leaves out buffers that no step binds, but for those of graph inputs and outputs.
pub(super) fn drop_unused(plan: &mut Plan) {
    let mut used = vec![false; plan.buffers.len()];
    for binding in plan.steps.iter().flat_map(|step| &step.bindings) {
        used[binding.buffer.index()] = true;
    }
    let mut numbers = HashMap::new();
    let mut kept = Vec::new();
    for (index, buffer) in plan.buffers.drain(..).enumerate() {
        if used[index] || matches!(buffer.role, Role::Input(_) | Role::Output(_)) {
            numbers.insert(BufferId(index as u32), BufferId(kept.len() as u32));
            kept.push(buffer);
        }
    }
    plan.buffers = kept;
    renumber(plan, |id| numbers[&id]);
}

fn renumber(plan: &mut Plan, number: impl Fn(BufferId) -> BufferId) {
    for step in &mut plan.steps {
        step.bindings.iter_mut().for_each(|binding| binding.buffer = number(binding.buffer));
        let slices = step.operands.iter_mut().chain(&mut step.results);
        slices.for_each(|slice| slice.buffer = number(slice.buffer));
    }
    for port in plan.inputs.iter_mut().chain(&mut plan.outputs) {
        port.buffer = number(port.buffer);
    }
}
