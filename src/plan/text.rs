//! A plan as text, for people.

use std::fmt;

use super::{Order, Plan, Role, Slice, Step};

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cost = self.cost();
        let (dispatches, steps) = (self.dispatches(), self.steps.len());
        writeln!(
            f,
            "{dispatches} dispatches (+ {} that convert inputs and outputs), {:.3} GFLOP, {:.3} MB moved, {:.3} MB of buffers",
            steps - dispatches,
            cost.flops as f64 / 1e9,
            cost.bytes as f64 / 1e6,
            self.bytes() as f64 / 1e6,
        )?;
        for (i, step) in self.steps.iter().enumerate() {
            writeln!(f, "{i:>4}  {step}")?;
        }
        for (i, buffer) in self.buffers.iter().enumerate() {
            let role = match buffer.role {
                Role::Input(_) => "input",
                Role::Output(_) => "output",
                Role::Constant(_) => "constant",
                Role::Scratch => "scratch",
            };
            writeln!(f, "  b{i:<3} {:>12} bytes  {role:<8}  {}", buffer.bytes, buffer.label)?;
        }
        Ok(())
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<18} {:<24} {:>7} workgroups ", self.shader.stem, self.node, self.workgroups)?;
        let slices: Vec<String> = self.slices.iter().map(Slice::to_string).collect();
        write!(f, " {} ", slices.join(" "))?;
        let constants: Vec<String> = self.constants.iter().map(|(name, value)| format!("{name}={value}")).collect();
        write!(f, " {}", constants.join(" "))
    }
}

impl fmt::Display for Slice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Slice { buffer, shape, offset, stride, .. } = self;
        match self.order {
            Order::Nhwc => write!(f, "b{}{shape}@{offset}/{stride}", buffer.index()),
            Order::Nchw => write!(f, "b{}{shape}@{offset} nchw", buffer.index()),
        }
    }
}
