//! Chained stride-1 max pools of one odd kernel, each result kept: the heart of SPPF, and of SPP(5, 9, 13) too.
//! Shader: `max_pool_cascade`; truth: `reference::max_pool_cascade`.

use super::{WG_SIZE, workgroups};
use crate::error::{Error, Result};
use crate::plan::{Constant, DeviceClass, Planner, Shader, Slice, Step, params, piece, shader};
use crate::tensor::Shape;

/// `p1 = pool(x), p2 = pool(p1), …`, concatenated along channels: `[n, times * c, h, w]`.
/// The i-th result equals one pool of kernel `i * (kernel - 1) + 1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxPoolCascade {
    /// Odd, at least 3; padding is `kernel / 2`, so the extent stays.
    pub kernel: u32,
    /// How many pools are chained.
    pub times: u32,
}

impl MaxPoolCascade {
    /// Output shape for `x`. Errors: an even kernel or one below 3, no pool at all, a reach beyond 32-bit indices.
    pub fn output_shape(&self, op: &str, x: Shape) -> Result<Shape> {
        if self.kernel.is_multiple_of(2) || self.kernel < 3 {
            return Err(Error::param(op, "kernel", self.kernel, "must be odd, to keep the extent, and at least 3"));
        }
        if self.times == 0 {
            return Err(Error::param(op, "times", 0, "must be at least 1"));
        }
        let reach = u64::from(self.kernel) * u64::from(self.times) + u64::from(x.h.max(x.w));
        let channels = u64::from(x.c) * u64::from(self.times);
        let max = i32::MAX as u64;
        for (what, value) in [("kernel times count plus input", reach), ("the channel count", channels)] {
            if value > max {
                return Err(Error::TooLarge { op: op.into(), what, value, max });
            }
        }
        Shape::new(x.n, channels as u32, x.h, x.w).check(op)
    }
}

params! {
    len: u32,
    channels4: u32,
    height: u32,
    width: u32,
    x_offset: u32,
    x_stride: u32,
    y_offset: u32,
    y_stride: u32,
}

pub(crate) static SHADER: Shader = Shader {
    stem: "max_pool_cascade",
    text: shader!("max_pool_cascade"),
    pieces: &[piece!("index"), piece!("ordered")],
    params_binding: 1,
    params: Params::FIELDS,
    tables: &[],
};

/// Pixels of one invocation: columns are read once for all of them. A software adapter has few threads to feed, so that
/// a row may be one invocation's; 20 for 4 halves its time there.
fn run(class: DeviceClass, width: u32) -> u32 {
    let longest = if class == DeviceClass::Software { 24 } else { 4 };
    width.div_ceil(width.div_ceil(longest))
}

/// One dispatch: reads slice `x`, writes slice `y`, which may lie in the same buffer.
pub(crate) fn plan(planner: &mut Planner, node: &str, cascade: &MaxPoolCascade, x: &Slice, y: &Slice) {
    let run = run(planner.profile.class, x.shape.w);
    let len = x.shape.n * x.shape.h * x.shape.w.div_ceil(run) * x.channels4();
    let params = Params {
        len,
        channels4: x.channels4(),
        height: x.shape.h,
        width: x.shape.w,
        x_offset: x.offset4(),
        x_stride: x.stride4(),
        y_offset: y.offset4(),
        y_stride: y.stride4(),
    };
    let reach = (cascade.kernel / 2).saturating_mul(cascade.times);
    let columns = reach.saturating_mul(2).saturating_add(run).min(x.shape.w);
    let reach = reach.min(x.shape.h / 2);
    let step = Step::new(node, &SHADER, &params, workgroups(len));
    let step = if x.buffer == y.buffer {
        step.within(x).piece(piece!("source_within"))
    } else {
        step.reads(2, x).piece(piece!("source_apart"))
    };
    planner.push(
        step.writes(0, y)
            .constant("WG_SIZE", Constant::U32(WG_SIZE))
            .constant("KERNEL", Constant::U32(cascade.kernel))
            .constant("TIMES", Constant::U32(cascade.times))
            .constant("RUN", Constant::U32(run))
            .loops([columns, reach.saturating_mul(2).saturating_add(1)])
            .loops([columns, run, cascade.times])
            .loops([columns, cascade.times]),
    );
}
