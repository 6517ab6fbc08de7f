//! The nodes of a file: those that are constants as such, the others in the order of use.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::sync::Arc;

use super::{File, Node, defined_twice};
use crate::error::{Error, Result};
use crate::onnx::array::Array;
use crate::onnx::message::broken;

/// Makes constants of the nodes that are, in all forms but text and sparse tensors.
pub(super) fn lift_constants(file: &mut File) -> Result<()> {
    for node in std::mem::take(&mut file.nodes) {
        let value = (node.op == "Constant" && node.domain.is_empty() && node.inputs.is_empty())
            .then(|| constant(&node))
            .transpose()?
            .flatten();
        match (value, &node.outputs[..]) {
            (Some(array), [name]) if !name.is_empty() => {
                if file.constants.insert(name.clone(), array).is_some() {
                    return Err(defined_twice(name));
                }
            }
            _ => file.nodes.push(node),
        }
    }
    Ok(())
}

fn constant(node: &Node) -> Result<Option<Arc<Array>>> {
    let float = |value| Arc::new(Array::floats([], vec![value]));
    let floats = |values: &[f32]| Arc::new(Array::floats([values.len()], values.into()));
    let int = |value| Arc::new(Array::ints([], vec![value]));
    let ints = |values: &[i64]| Arc::new(Array::ints([values.len()], values.into()));
    Ok(match node.attributes.keys().next().map(String::as_str) {
        Some("value") => node.tensor("value").ok().flatten().cloned(),
        Some("value_float") => node.float("value_float")?.map(float),
        Some("value_floats") => node.floats("value_floats")?.map(floats),
        Some("value_int") => node.int("value_int")?.map(int),
        Some("value_ints") => node.ints("value_ints")?.map(ints),
        _ => None,
    })
}

/// Puts nodes behind what they read, otherwise in the order of the file. Errors: values without or with more than one
/// origin, and cycles.
pub(super) fn sort(file: &mut File) -> Result<()> {
    let mut origins: HashMap<&str, Option<usize>> = HashMap::new();
    for name in file.constants.keys() {
        origins.insert(name, None);
    }
    for input in &file.inputs {
        if origins.insert(&input.name, None).is_some() {
            return Err(defined_twice(&input.name));
        }
    }
    for (i, node) in file.nodes.iter().enumerate() {
        for name in node.outputs.iter().filter(|name| !name.is_empty()) {
            if origins.insert(name, Some(i)).is_some() {
                return Err(defined_twice(name));
            }
        }
    }
    if file.outputs.is_empty() {
        return Err(broken("has no outputs"));
    }
    let mut listed = HashSet::new();
    for name in &file.outputs {
        if !listed.insert(name) {
            return Err(broken(format!("lists the output '{name}' twice")));
        }
        if !origins.contains_key(name.as_str()) {
            return Err(broken(format!("does not compute its output '{name}'")));
        }
    }
    let mut waiting = vec![0; file.nodes.len()];
    let mut readers: Vec<Vec<usize>> = vec![Vec::new(); file.nodes.len()];
    for (i, node) in file.nodes.iter().enumerate() {
        for name in node.inputs.iter().filter(|name| !name.is_empty()) {
            let origin = origins.get(name.as_str()).ok_or_else(|| {
                Error::data(node.label(), format!("reads '{name}', which neither a node nor the file provides"))
            })?;
            if let Some(origin) = origin {
                waiting[i] += 1;
                readers[*origin].push(i);
            }
        }
    }
    let mut ready: BinaryHeap<Reverse<usize>> = (0..waiting.len()).filter(|&i| waiting[i] == 0).map(Reverse).collect();
    let mut order = Vec::with_capacity(waiting.len());
    while let Some(Reverse(i)) = ready.pop() {
        order.push(i);
        for &reader in &readers[i] {
            waiting[reader] -= 1;
            if waiting[reader] == 0 {
                ready.push(Reverse(reader));
            }
        }
    }
    if order.len() < waiting.len() {
        let stuck = waiting.iter().zip(&file.nodes).filter(|(waiting, _)| **waiting > 0);
        let some: Vec<String> = stuck.take(5).map(|(_, node)| node.label()).collect();
        return Err(broken(format!("has nodes that wait for each other: {}, …", some.join(", "))));
    }
    let mut nodes: Vec<Option<Node>> = std::mem::take(&mut file.nodes).into_iter().map(Some).collect();
    file.nodes = order.into_iter().filter_map(|i| nodes[i].take()).collect();
    Ok(())
}
