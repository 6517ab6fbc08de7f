//! Nodes of known arrays, computed at load with ONNX's semantics: mostly the arithmetic of shapes.

use super::array::{Array, Kind, count, element_bytes};
use super::file::Node;
use crate::error::{Error, Result};

mod arithmetic;
mod moves;
pub(crate) mod shape;

/// What may still be folded in a model: a small file may ask for more than any machine has.
#[derive(Debug)]
pub(crate) struct Room {
    /// Elements that are read or written.
    pub(crate) work: u64,
    /// Of results.
    pub(crate) bytes: u64,
}

impl Default for Room {
    fn default() -> Self {
        Self { work: 1 << 29, bytes: 1 << 30 }
    }
}

/// The outputs of a node whose inputs are all known; an input that is not known or absent is `None`. `None`: the
/// operator is not folded, or an input is not known.
pub(crate) fn fold(node: &Node, inputs: &[Option<&Array>], opset: i64, room: &mut Room) -> Option<Result<Vec<Array>>> {
    let known = |(i, name): (usize, &String)| name.is_empty() || inputs.get(i).is_some_and(|input| input.is_some());
    if !node.domain.is_empty() || !node.inputs.iter().enumerate().all(known) {
        return None;
    }
    let mut op = Op { node, inputs, opset, room };
    let folded = moves::fold(&mut op).or_else(|| arithmetic::fold(&mut op))?;
    // Such as the mask of a dropout.
    let lacks = |arrays: &Vec<Array>| node.outputs.iter().skip(arrays.len()).any(|name| !name.is_empty());
    if folded.as_ref().is_ok_and(lacks) { None } else { Some(folded) }
}

/// A node that is computed.
struct Op<'a> {
    node: &'a Node,
    inputs: &'a [Option<&'a Array>],
    opset: i64,
    room: &'a mut Room,
}

impl<'a> Op<'a> {
    fn error(&self, reason: impl Into<String>) -> Error {
        Error::data(self.node.label(), reason)
    }

    /// With the node's name, for a reason.
    fn checked<T>(&self, result: Result<T, String>) -> Result<T> {
        result.map_err(|reason| self.error(reason))
    }

    fn optional(&self, index: usize) -> Option<&'a Array> {
        self.inputs.get(index).copied().flatten()
    }

    fn input(&self, index: usize) -> Result<&'a Array> {
        self.optional(index).ok_or_else(|| self.error(format!("lacks input {index}")))
    }

    fn ints(&self, index: usize) -> Result<&'a [i64]> {
        let ints = self.input(index)?.as_ints();
        ints.ok_or_else(|| self.error(format!("input {index} must be integers")))
    }

    /// An attribute in old versions of an operator, an input in new ones.
    fn attribute_or_input(&self, name: &'static str, index: usize) -> Result<Option<&'a [i64]>> {
        match self.node.ints(name)? {
            Some(values) => Ok(Some(values)),
            None => self.optional(index).map(|_| self.ints(index)).transpose(),
        }
    }

    /// The axis that an attribute names.
    fn axis(&self, default: i64, rank: usize) -> Result<usize> {
        self.checked(shape::axis(self.node.int("axis")?.unwrap_or(default), rank))
    }

    fn work(&mut self, elements: u64) -> Result<()> {
        let left = self.room.work.checked_sub(elements);
        self.room.work = left.ok_or_else(|| self.error("would take too much work at load"))?;
        Ok(())
    }

    /// The elements of a result that is about to be allocated.
    fn allot(&mut self, kind: Kind, dims: &[usize]) -> Result<usize> {
        let len = self.checked(count(dims).map_err(|reason| format!("the result {reason}")))?;
        self.work(len as u64)?;
        let left = self.room.bytes.checked_sub(len as u64 * element_bytes(kind));
        self.room.bytes = left.ok_or_else(|| self.error("would take too much memory at load"))?;
        Ok(len)
    }
}

#[cfg(test)]
mod tests;
