//! A plan as text, for people.

use std::collections::HashMap;
use std::fmt;

use super::{Hardware, Order, Plan, Role, Slice, Step, image_len};
use crate::graph::draw::Drawing;

impl Plan {
    /// Graphviz DOT of the dispatches: an arrow where one reads what another wrote.
    pub fn to_dot(&self) -> String {
        self.drawing().dot()
    }

    /// A Mermaid flowchart of the dispatches, as [`Plan::to_dot`].
    pub fn to_mermaid(&self) -> String {
        self.drawing().mermaid()
    }

    fn drawing(&self) -> Drawing {
        let mut drawing = Drawing::default();
        let mut writers: HashMap<usize, Vec<(usize, &Slice)>> = HashMap::new();
        for port in &self.inputs {
            drawing.add(vec![port.name.clone(), port.shape.to_string()], true);
        }
        for step in &self.steps {
            let mut lines = vec![step.shader.stem.into(), step.node.clone()];
            lines.extend(step.results.iter().map(Slice::to_string));
            let to = drawing.add(lines, false);
            for slice in &step.operands {
                let from_input = self.inputs.iter().position(|port| port.buffer == slice.buffer);
                let wrote = writers.get(&slice.buffer.index()).into_iter().flatten();
                let overlapping = wrote.filter(|(_, other)| slice.overlaps(other)).map(|(from, _)| *from);
                drawing.arrows.extend(from_input.into_iter().chain(overlapping).map(|from| (from, to)));
            }
            for written in &step.results {
                let others = writers.entry(written.buffer.index()).or_default();
                others.retain(|(_, other)| !written.overlaps(other));
                others.push((to, written));
            }
        }
        for port in &self.outputs {
            let to = drawing.add(vec![port.name.clone(), port.shape.to_string()], true);
            let wrote = writers.get(&port.buffer.index()).into_iter().flatten();
            drawing.arrows.extend(wrote.map(|(from, _)| (*from, to)));
        }
        drawing
    }
}

impl Slice {
    /// Whether channels (or values of an image) overlap, given that both lie in the same buffer.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        let end = |slice: &Self| match slice.order {
            Order::Nhwc | Order::NhwcDense => slice.offset.saturating_add(slice.physical_c()),
            Order::Nchw => slice.offset.saturating_add(image_len(slice.shape)),
        };
        self.order != other.order || (self.offset < end(other) && other.offset < end(self))
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cost = self.cost();
        writeln!(
            f,
            "{} dispatches (+ {} that convert inputs and outputs), {:.3} GFLOP, {:.3} MB moved{}",
            self.dispatches(),
            self.counted(true),
            cost.flops as f64 / 1e9,
            cost.bytes as f64 / 1e6,
            self.estimated_us().map_or_else(String::new, |us| format!(", ≈ {us:.1} µs")),
        )?;
        let mb = |bytes: u64| bytes as f64 / 1e6;
        let ports = self.outputs.first().map_or_else(String::new, |port| format!(" in {}", port.element));
        writeln!(
            f,
            "{:.3} MB of buffers: {:.3} MB in {}, inputs and outputs {:.3} MB{ports}",
            mb(self.bytes()),
            mb(self.bytes().saturating_sub(self.port_bytes())),
            self.precision,
            mb(self.port_bytes()),
        )?;
        if let Some(Hardware { cores, lanes, mhz, memory_gbps, .. }) = self.profile.hardware {
            writeln!(f, "times (≈) are estimated for {cores} cores of {lanes} lanes, {mhz} MHz, {memory_gbps} GB/s")?;
        }
        for (i, step) in self.steps.iter().enumerate() {
            write!(f, "{i:>4}  ")?;
            if let Some(estimate) = step.estimate(&self.profile) {
                write!(f, "{:<12}  ", estimate.to_string())?;
            }
            writeln!(f, "{step}")?;
        }
        for (i, buffer) in self.buffers.iter().enumerate() {
            let role = match buffer.role {
                Role::Input(_) => "input",
                Role::Output(_) => "output",
                Role::Constant(_) => "constant",
                Role::Scratch => "scratch",
            };
            writeln!(f, "  b{i:<3} {:>12} bytes  {role:<8}  {}", buffer.bytes(), buffer.label)?;
        }
        Ok(())
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<18} {:<24} {:>7} workgroups ", self.shader.stem, self.node, self.workgroups)?;
        if self.dispatches() > 1 {
            write!(f, "in {} dispatches ", self.dispatches())?;
        }
        let slices: Vec<String> = self.operands.iter().chain(&self.results).map(Slice::to_string).collect();
        write!(f, " {} ", slices.join(" "))?;
        let constants: Vec<String> = self.constants.iter().map(|(name, value)| format!("{name}={value}")).collect();
        write!(f, " {}", constants.join(" "))?;
        match &self.choice {
            Some(choice) => write!(f, "  {} ({})", choice.taken, choice.why),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Slice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Slice { buffer, shape, offset, stride, .. } = self;
        match self.order {
            Order::Nhwc => write!(f, "b{}{shape}@{offset}/{stride}", buffer.index()),
            Order::Nchw => write!(f, "b{}{shape}@{offset} nchw", buffer.index()),
            Order::NhwcDense => write!(f, "b{}{shape}@{offset} nhwc", buffer.index()),
        }
    }
}
