//! Scaled addition: `y = act(scale * a + b)`. Shader: `add`; truth: `reference::add`.

use super::{Activation, WG_SIZE, workgroups};
use crate::error::{Error, Result};
use crate::plan::{Constant, Planner, Shader, Slice, Step, params, piece, shader};
use crate::tensor::Shape;

/// `act(scale * a + b)` of two tensors of one shape.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Add {
    /// Multiplies the first input.
    pub scale: f32,
    /// Applied last.
    pub activation: Activation,
}

impl Add {
    /// Output shape. Errors: shapes that differ (nothing is broadcast), a scale that is not finite.
    pub fn output_shape(&self, op: &str, [a, b]: [(&str, Shape); 2]) -> Result<Shape> {
        if a.1 != b.1 {
            return Err(Error::mismatch(op, format!("{} from '{}' and {} from '{}' differ", a.1, a.0, b.1, b.0)));
        }
        if !self.scale.is_finite() {
            return Err(Error::param(op, "scale", self.scale, "must be finite"));
        }
        self.activation.check(op)?;
        Ok(a.1)
    }
}

params! {
    len: u32,
    channels: u32,
    channels4: u32,
    a_offset: u32,
    a_stride: u32,
    b_offset: u32,
    b_stride: u32,
    y_offset: u32,
    y_stride: u32,
    scale: f32,
}

pub(crate) static SHADER: Shader = Shader {
    stem: "add",
    text: shader!("add"),
    pieces: &[piece!("index"), piece!("activation"), piece!("lanes")],
    params_binding: 3,
    params: Params::FIELDS,
    tables: &[],
};

/// One dispatch: reads slices `a` and `b`, writes slice `y`, all of the same runs of channels.
pub(crate) fn plan(planner: &mut Planner, node: &str, add: &Add, a: &Slice, b: &Slice, y: &Slice) {
    let len = y.pixels() * y.channels4();
    let params = Params {
        len,
        channels: y.lanes_to_keep(),
        channels4: y.channels4(),
        a_offset: a.offset4(),
        a_stride: a.stride4(),
        b_offset: b.offset4(),
        b_stride: b.stride4(),
        y_offset: y.offset4(),
        y_stride: y.stride4(),
        scale: add.scale,
    };
    let step = Step::new(node, &SHADER, &params, workgroups(len)).reads(0, a).reads(1, b).writes(2, y);
    let step = step.flops(2 * y.shape.len()).constant("WG_SIZE", Constant::U32(WG_SIZE));
    planner.push(step.constants(add.activation.constants()));
}
