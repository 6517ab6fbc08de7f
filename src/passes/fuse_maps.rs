//! Pass: a formula whose only reader is another formula becomes part of it.

use std::collections::{HashMap, HashSet};

use super::concat_slices;
use crate::error::Result;
use crate::graph::{Graph, NodeId, Op};
use crate::ops::{Formula, FormulaStep, Map, Strided, Term};

pub(super) fn run(graph: &Graph, max_host_bytes: u64) -> Result<Graph> {
    let nodes = graph.nodes();
    if !nodes.iter().any(|node| matches!(node.op, Op::Map(_))) {
        return Ok(graph.clone());
    }
    let contracts = concat_slices::contracts(graph, max_host_bytes)?;
    let order = |id: NodeId| contracts[id.index()].result.order;
    let outputs: HashSet<NodeId> = graph.outputs().iter().map(|(_, id)| *id).collect();
    let reading = graph.reading();
    let mut maps: HashMap<NodeId, Fused> = HashMap::new();
    let mut absorbed: HashSet<NodeId> = HashSet::new();
    for (id, node) in graph.ids().zip(nodes) {
        let Op::Map(map) = &node.op else { continue };
        let operands = node.inputs.iter().copied().zip(map.walks.iter().cloned()).collect();
        let mut fused = Fused { operands, steps: map.formula.steps.clone() };
        // In the other order, what the one reads would have to be converted for the other.
        let is_part = |&(input, _): &(NodeId, _)| {
            let shape = nodes[input.index()].shape;
            let alone = reading[input.index()].len() == 1 && !outputs.contains(&input);
            alone && shape == node.shape && order(input) == order(id) && maps.contains_key(&input)
        };
        let parts: Vec<NodeId> = fused.operands.iter().filter(|operand| is_part(operand)).map(|(of, _)| *of).collect();
        for part in parts {
            if let Some(joined) = fused.with(part, &maps[&part]) {
                fused = joined;
                absorbed.insert(part);
            }
        }
        maps.insert(id, fused);
    }
    graph.rewritten(|new, id, node, map| {
        if absorbed.contains(&id) {
            return Ok(None);
        }
        let Some(fused) = maps.remove(&id) else { return new.copy_mapped(node, map).map(Some) };
        let (inputs, walks): (Vec<_>, Vec<_>) = fused.operands.into_iter().unzip();
        let inputs: Vec<NodeId> = inputs.iter().map(|input| map[input]).collect();
        let formula = Formula { steps: fused.steps };
        new.map(node.name.clone(), &inputs, Map { shape: node.shape, walks, formula }).map(Some)
    })
}

/// A formula with those before it.
#[derive(Clone)]
struct Fused {
    operands: Vec<(NodeId, Option<Strided>)>,
    steps: Vec<FormulaStep>,
}

impl Fused {
    /// With the formula of the operand `part` in its place; `None` if it is walked over in another order, or one dispatch
    /// cannot compute both.
    fn with(&self, part: NodeId, before: &Self) -> Option<Self> {
        let in_order = |walk: &Option<Strided>| walk.as_ref().is_none_or(|walk| walk.offset == 0 && walk.is_dense());
        let is_part = |(id, _): &(NodeId, _)| *id == part;
        if !self.operands.iter().filter(|operand| is_part(operand)).all(|(_, walk)| in_order(walk)) {
            return None;
        }
        let mut fused = Self { operands: before.operands.clone(), steps: before.steps.clone() };
        let last = Term::Step(before.steps.len() as u32 - 1);
        let terms: Vec<Term> = self
            .operands
            .iter()
            .map(|operand| {
                if is_part(operand) {
                    return last;
                }
                let at = fused.operands.iter().position(|other| other == operand).unwrap_or_else(|| {
                    fused.operands.push(operand.clone());
                    fused.operands.len() - 1
                });
                Term::Operand(at as u32)
            })
            .collect();
        let moved = |term: &Term| match *term {
            Term::Operand(i) => terms[i as usize],
            Term::Step(i) => Term::Step(i + before.steps.len() as u32),
            number @ Term::Number(_) => number,
        };
        let steps = self.steps.iter().map(|step| {
            let terms = step.terms.iter().map(moved).collect();
            FormulaStep { function: step.function, terms }
        });
        fused.steps.extend(steps);
        let fits = fused.operands.len() <= Map::MAX_OPERANDS && fused.steps.len() <= Formula::MAX_STEPS;
        fits.then_some(fused)
    }
}
