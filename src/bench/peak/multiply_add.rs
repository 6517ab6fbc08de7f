//! Arithmetic without memory. Shader: `peak/multiply_add`.

use super::plan_of;
use crate::error::{Error, Result};
use crate::plan::{Binding, Buffer, BufferId, Constant, DeviceProfile, Element, Plan, Role, Shader, Step};
use crate::plan::{params, piece, shader};

/// What one plan computes.
#[derive(Clone, Copy, Debug)]
pub(super) struct MultiplyAdd {
    pub(super) wg_size: u32,
    /// A multiple of `wg_size`.
    pub(super) invocations: u32,
    /// At most [`MAX_ROUNDS`].
    pub(super) rounds: u32,
    /// In `f16`; otherwise in `f32`.
    pub(super) half: bool,
}

/// Sums, 32 · (38 + 4 · rounds + 1), stay below 2²⁴, so that they are exact; and llvmpipe does not end a loop early.
pub(super) const MAX_ROUNDS: u32 = 1 << 15;

/// Chains in one invocation: 8 vectors of 4.
const CHAINS: u32 = 32;

params! {
    len: u32,
    rounds: u32,
    factor: f32,
    addend: f32,
}

static SHADER: Shader = Shader {
    stem: "multiply_add",
    text: shader!("peak/multiply_add"),
    extensions: &[],
    pieces: &[piece!("index")],
    params_binding: 1,
    params: Params::FIELDS,
    tables: &[],
};

impl MultiplyAdd {
    /// `f32` counts its additions. `f16` cannot count that far: it goes back and forth between s and 3 - s.
    const fn factor_addend(&self) -> (f32, f32) {
        if self.half { (-1.0, 3.0) } else { (1.0, 1.0) }
    }

    /// How often each chain advances; odd.
    const fn count(&self) -> u32 {
        4 * self.rounds + 1
    }

    /// A multiplication and an addition count as two.
    pub(super) fn flops(&self) -> u64 {
        u64::from(self.invocations) * u64::from(2 * CHAINS) * u64::from(self.count())
    }

    pub(super) fn plan(&self, profile: &DeviceProfile) -> Plan {
        let Self { wg_size, invocations: len, rounds, half } = *self;
        let (factor, addend) = self.factor_addend();
        let params = Params { len, rounds, factor, addend };
        let step = Step {
            bindings: vec![Binding { slot: 0, buffer: BufferId(0), written: true, texels: None }],
            ..Step::new("peak", &SHADER, &params, u64::from(len.div_ceil(wg_size)))
        };
        let step = step.constant("WG_SIZE", Constant::U32(wg_size)).flops(self.flops());
        let step = step.loops([rounds]).piece(if half { piece!("vec4_f16", F16) } else { piece!("vec4_f32") });
        let y = Buffer { label: "y".into(), element: Element::F32, len: len.into(), role: Role::Output(0) };
        plan_of(profile, vec![step], vec![y])
    }

    /// Errors: any value that is not exactly what that many multiplications and additions of integers give.
    pub(super) fn check(&self, y: &[f32]) -> Result<()> {
        let (_, addend) = self.factor_addend();
        let end = |start: u32| if self.half { addend - start as f32 } else { start as f32 + self.count() as f32 };
        let sums: Vec<f32> = (0..8).map(|s| (s..s + CHAINS).map(end).sum()).collect();
        match y.iter().zip(sums.iter().cycle()).position(|(got, want)| got != want) {
            None => Ok(()),
            Some(i) => Err(Error::Gpu(format!(
                "multiply_add, {} rounds in workgroups of {}: value {i} is {}, not {}",
                self.rounds,
                self.wg_size,
                y[i],
                sums[i % 8]
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_sums_pass() {
        // One round: 5 additions of 1. The chains start at 0 ... 31: 31 * 32 / 2 + 32 * 5; the next at 1 ... 32.
        let f32s = MultiplyAdd { wg_size: 8, invocations: 8, rounds: 1, half: false };
        assert!(f32s.check(&[656.0, 688.0]).is_ok());
        assert!(
            f32s.check(&[656.0, 689.0]).is_err() && f32s.check(&[0.0]).is_err() && f32s.check(&[f32::NAN]).is_err()
        );
        // Back and forth an odd number of times: 3 - s, 32 * 3 - 496.
        assert!(MultiplyAdd { half: true, ..f32s }.check(&[-400.0]).is_ok());
        assert_eq!(f32s.flops(), 8 * 32 * 5 * 2);
    }
}
