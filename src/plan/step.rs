//! How a kernel puts a dispatch together.

use std::time::Duration;

use super::{Binding, BufferId, Constant, Cost, DeviceProfile, Estimate, Piece, Shader, Slice, Step, Table};
use crate::ops::Texels;

impl Step {
    /// A dispatch of `shader`, with no bindings yet.
    pub(crate) fn new(node: &str, shader: &'static Shader, params: &impl bytemuck::Pod, workgroups: u64) -> Self {
        Self {
            node: node.into(),
            shader,
            constants: Vec::new(),
            pieces: Vec::new(),
            formula: None,
            bindings: Vec::new(),
            params: bytemuck::bytes_of(params).to_vec(),
            workgroups,
            at_once: u64::MAX,
            workgroup_memory: 0,
            iterations: 0,
            cost: Cost::default(),
            load: None,
            operands: Vec::new(),
            results: Vec::new(),
            choice: None,
        }
    }

    /// Compiles `value` in.
    pub(crate) fn constant(mut self, name: &'static str, value: Constant) -> Self {
        self.constants.push((name, value));
        self
    }

    /// Compiles several values in.
    pub(crate) fn constants(mut self, constants: impl IntoIterator<Item = (&'static str, Constant)>) -> Self {
        self.constants.extend(constants);
        self
    }

    /// Counts the loops over a window of `x`, which shaders clip to the image, and compiles in what they divide by for
    /// that: no map's size makes a dilation.
    pub(crate) fn window(self, kernel: [u32; 2], dilation: [u32; 2], x: &Slice) -> Self {
        let step = self.loops([kernel[0].min(x.shape.h), kernel[1].min(x.shape.w)]);
        step.constants([("DILATION_H", Constant::U32(dilation[0])), ("DILATION_W", Constant::U32(dilation[1]))])
    }

    /// Appends a shared piece.
    pub(crate) fn piece(mut self, piece: &'static Piece) -> Self {
        self.pieces.push(piece);
        self
    }

    /// Appends shared pieces.
    pub(crate) fn pieces(mut self, pieces: &[&'static Piece]) -> Self {
        self.pieces.extend(pieces);
        self
    }

    /// Appends generated text.
    pub(crate) fn formula(mut self, formula: &str) -> Self {
        self.formula = Some(formula.into());
        self
    }

    /// Binds a slice to be read.
    pub(crate) fn reads(self, slot: u32, x: &Slice) -> Self {
        self.binds(slot, x.buffer, false).within(x)
    }

    /// Binds a slice to be written.
    pub(crate) fn writes(self, slot: u32, y: &Slice) -> Self {
        self.binds(slot, y.buffer, true).result(y)
    }

    /// Binds a texture to be read.
    pub(crate) fn samples(mut self, slot: u32, x: &Slice, texels: Texels) -> Self {
        self.bindings.push(Binding { slot, buffer: x.buffer, written: false, texels: Some(texels) });
        self.within(x)
    }

    /// Binds a texture to be written.
    pub(crate) fn draws(mut self, slot: u32, y: &Slice, texels: Texels) -> Self {
        self.bindings.push(Binding { slot, buffer: y.buffer, written: true, texels: Some(texels) });
        self.result(y)
    }

    /// Binds weights, biases or another table.
    pub(crate) fn table(mut self, slot: u32, table: Table) -> Self {
        self.bindings.push(Binding { slot, buffer: table.buffer, written: false, texels: None });
        self.moved(table.bytes)
    }

    /// Counts the loops of an invocation: outer extents first; an inner loop runs once per iteration around it.
    pub(crate) fn loops<const N: usize>(mut self, extents: [u32; N]) -> Self {
        let around = |inner: u64, &extent: &u32| u64::from(extent).saturating_mul(inner.saturating_add(1));
        self.iterations = self.iterations.saturating_add(extents.iter().rev().fold(0, around));
        self
    }

    /// Counts bytes of workgroup memory.
    pub(crate) fn memory(self, workgroup_memory: u32) -> Self {
        Self { workgroup_memory, ..self }
    }

    /// Counts arithmetic.
    pub(crate) fn flops(mut self, flops: u64) -> Self {
        self.cost.flops = self.cost.flops.saturating_add(flops);
        self
    }

    /// Binds a buffer whose slices are counted separately.
    pub(crate) fn binds(mut self, slot: u32, buffer: BufferId, written: bool) -> Self {
        self.bindings.push(Binding { slot, buffer, written, texels: None });
        self
    }

    /// Counts a slice that is read, in a buffer that is bound separately.
    pub(crate) fn within(mut self, slice: &Slice) -> Self {
        self.operands.push(slice.clone());
        self.moved(slice.bytes())
    }

    /// Counts a slice that is written, in a buffer that is bound separately.
    pub(crate) fn result(mut self, slice: &Slice) -> Self {
        self.results.push(slice.clone());
        self.moved(slice.bytes())
    }

    /// Has it dispatched in turns that are estimated to take no longer than `longest`, as far as that makes them
    /// shorter: every core has a workgroup. Each but the last has full rows of workgroups, so that none computes what
    /// the next does.
    pub(super) fn in_turns(mut self, profile: &DeviceProfile, longest: Duration) -> Self {
        /// However short a dispatch is asked for.
        const MOST: u64 = 1024;
        let Some(Estimate { us, cores, .. }) = self.estimate(profile) else { return self };
        let turns = (us / 1e6 / longest.as_secs_f64()).ceil();
        if turns > 1.0 {
            let fewest = self.workgroups.div_ceil(MOST).max(cores.into());
            let at_once = ((self.workgroups as f64 / turns).ceil() as u64).max(fewest);
            self.at_once = whole_rows(at_once, profile.max_workgroups);
        }
        self
    }

    fn moved(mut self, bytes: u64) -> Self {
        self.cost.bytes = self.cost.bytes.saturating_add(bytes);
        self
    }
}

/// As many of so many workgroups as fill rows of at most `max`.
pub(crate) fn whole_rows(workgroups: u64, max: u32) -> u64 {
    let max = u64::from(max.max(1));
    if workgroups > max { workgroups / max * max } else { workgroups }
}
