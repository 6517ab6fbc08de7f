//! Pass: tensors that are not alive at the same time, and have values of one type, share a buffer. Buffers stay separate: no dispatch reads and
//! writes the same one, and wgpu puts a barrier between any two dispatches that touch the same one.
//!
//! The largest tensor chooses first, so that none makes a buffer grow: "Greedy by Size for Shared Objects" of Pisarchyk
//! and Lee, Efficient Memory Management for Deep Neural Net Inference, 2020 (arXiv:2001.03288), as in TensorFlow Lite.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use crate::plan::{BufferId, Draft, Role};

pub(super) fn run(draft: &mut Draft) {
    let plan = &draft.plan;
    let mut lives: BTreeMap<BufferId, [usize; 2]> = BTreeMap::new();
    for (at, step) in plan.steps.iter().enumerate() {
        for binding in &step.bindings {
            lives.entry(binding.buffer).or_insert([at, at])[1] = at;
        }
    }
    lives.retain(|id, _| plan.buffers[id.index()].role == Role::Scratch);
    let mut by_size: Vec<(BufferId, [usize; 2])> = lives.into_iter().collect();
    by_size.sort_by_key(|(id, _)| Reverse(plan.buffers[id.index()].bytes()));
    // From large to small, each buffer named after the first and largest of its tensors.
    let mut shared: Vec<(BufferId, Vec<[usize; 2]>)> = Vec::new();
    let mut stands_for: HashMap<BufferId, BufferId> = HashMap::new();
    for (id, life) in by_size {
        let apart = |other: &[usize; 2]| other[1] < life[0] || life[1] < other[0];
        let alike = |first: &BufferId| plan.buffers[first.index()].element == plan.buffers[id.index()].element;
        match shared.iter_mut().rev().find(|(first, lives)| alike(first) && lives.iter().all(apart)) {
            Some((first, lives)) => {
                lives.push(life);
                stands_for.insert(id, *first);
            }
            None => shared.push((id, vec![life])),
        }
    }
    renumber(draft, |id| stands_for.get(&id).copied().unwrap_or(id));
    drop_unused(draft);
}

/// Leaves out buffers that no step binds, except those of graph inputs and outputs.
pub(super) fn drop_unused(draft: &mut Draft) {
    let plan = &mut draft.plan;
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
    draft.contents.retain(|id, _| numbers.contains_key(id));
    renumber(draft, |id| numbers[&id]);
}

fn renumber(draft: &mut Draft, number: impl Fn(BufferId) -> BufferId) {
    let Draft { plan, contents } = draft;
    *contents = contents.drain().map(|(id, content)| (number(id), content)).collect();
    for step in &mut plan.steps {
        step.bindings.iter_mut().for_each(|binding| binding.buffer = number(binding.buffer));
        let slices = step.operands.iter_mut().chain(&mut step.results);
        slices.for_each(|slice| slice.buffer = number(slice.buffer));
    }
    for port in plan.inputs.iter_mut().chain(&mut plan.outputs) {
        port.buffer = number(port.buffer);
    }
}
