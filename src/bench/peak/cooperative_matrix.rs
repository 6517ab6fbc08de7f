//! Arithmetic of cooperative matrices without memory. Shader: `peak/cooperative_matrix`.

use half::f16;
use wgpu::{CooperativeMatrixProperties, CooperativeScalarType};

use super::plan_of;
use crate::error::{Error, Result};
use crate::plan::{Binding, Buffer, BufferId, Constant, DeviceProfile, Element, Extension, Plan, Role, Shader, Step};
use crate::plan::{params, piece, shader};

/// What one plan computes: matrices of `size` rows and columns, with sums in `f32`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct CooperativeMatrix {
    /// 8 or 16: what WGSL has types for.
    pub(super) size: u32,
    /// Factors in `f16`; otherwise in `f32`.
    pub(super) half: bool,
    /// At most [`MAX_ROUNDS`].
    pub(super) rounds: u32,
    /// Subgroups that a workgroup may have.
    pub(super) subgroups: u32,
    /// At most 65 535.
    pub(super) workgroups: u32,
}

/// Every chain's sums stay at or below 2²⁰, 16 per round: exact, even where the hardware drops bits of a sum.
pub(super) const MAX_ROUNDS: u32 = 1 << 16;

/// A whole number of subgroups on every adapter.
const WG_SIZE: u32 = 64;

/// Chains of one subgroup, each with a second factor of its own.
const CHAINS: u32 = 4;

/// Several times what the largest devices hold at once, in at most this many bytes.
const WORKGROUPS: u32 = 8192;
const BYTES: u32 = 64 << 20;

params! {
    rounds: u32,
}

static SHADER: Shader = Shader {
    stem: "cooperative_matrix",
    text: shader!("peak/cooperative_matrix"),
    extensions: &[Extension::CooperativeMatrix, Extension::Subgroups],
    pieces: &[],
    params_binding: 2,
    params: Params::FIELDS,
    tables: &[],
};

impl CooperativeMatrix {
    /// The largest of these shapes that the kernel is written for, with factors in `f16` if there are any; `None` if
    /// there is none.
    pub(super) fn choose(offered: &[CooperativeMatrixProperties], least_lanes: u32) -> Option<Self> {
        let fits = offered.iter().filter_map(|shape| {
            let size = shape.m_size;
            let half = match (shape.ab_type, shape.cr_type) {
                (CooperativeScalarType::F16, CooperativeScalarType::F32) => true,
                (CooperativeScalarType::F32, CooperativeScalarType::F32) => false,
                _ => return None,
            };
            let square = shape.n_size == size && shape.k_size == size && [8, 16].contains(&size);
            square.then_some((half, size))
        });
        let (half, size) = fits.max()?;
        let subgroups = WG_SIZE.div_ceil(least_lanes.max(1));
        let workgroups = WORKGROUPS.min(BYTES / (subgroups * size * size * 4));
        Some(Self { size, half, rounds: 1, subgroups, workgroups })
    }

    /// A multiplication and an addition count as two.
    pub(super) fn flops(&self, matrices: u64) -> u64 {
        matrices * u64::from(2 * CHAINS * self.size.pow(3)) * u64::from(self.rounds)
    }

    pub(super) fn plan(&self, profile: &DeviceProfile) -> Plan {
        let Self { size, half, rounds, subgroups, workgroups } = *self;
        let factors = self.factors();
        let bind = |(i, written)| Binding { slot: i, buffer: BufferId(i), written, texels: None };
        let bindings = [(0, false), (1, true)].map(bind);
        let step =
            Step { bindings: bindings.to_vec(), ..Step::new("peak", &SHADER, &Params { rounds }, workgroups.into()) };
        let constants = [("WG_SIZE", WG_SIZE), ("SIZE", size), ("SUBGROUPS", subgroups)];
        let step = step.constants(constants.map(|(name, value)| (name, Constant::U32(value)))).loops([rounds]);
        let step = step.piece(if half { piece!("factor_f16", F16) } else { piece!("factor_f32") });
        let step = step.piece(if size == 8 {
            piece!("matrices_8", CooperativeMatrix)
        } else {
            piece!("matrices_16", CooperativeMatrix)
        });
        let len = u64::from(workgroups * subgroups * size * size);
        let buffer = |label: &str, element, len, role| Buffer { label: label.into(), element, len, role };
        let x = buffer("factors", Element::U32, factors.len() as u64, Role::Constant(factors.into()));
        plan_of(profile, vec![step], vec![x, buffer("y", Element::F32, len, Role::Output(0))])
    }

    /// A, then the second factor of each chain: zeros and ones, by rows; no matrix is its own transpose.
    fn factor(&self, matrix: u32, row: u32, column: u32) -> u32 {
        if matrix == 0 {
            u32::from((row + 2 * column).is_multiple_of(3))
        } else {
            u32::from((2 * row + column + matrix) % 5 < 2)
        }
    }

    /// All of them, as the buffer holds them.
    fn factors(&self) -> Vec<u32> {
        let size = self.size;
        let values = (0..=CHAINS).flat_map(|matrix| (0..size * size).map(move |i| (matrix, i / size, i % size)));
        let values: Vec<u32> = values.map(|(matrix, row, column)| self.factor(matrix, row, column)).collect();
        if !self.half {
            return values.iter().map(|&value| (value as f32).to_bits()).collect();
        }
        let halves: Vec<u16> = values.iter().map(|&value| f16::from_f32(value as f32).to_bits()).collect();
        bytemuck::pod_collect_to_vec(&halves)
    }

    /// How many matrices were made. Errors: any value that is not exact; a workgroup that made none.
    pub(super) fn check(&self, y: &[f32]) -> Result<u64> {
        let size = self.size;
        let product = |row: u32, column: u32| -> u32 {
            let summands = (0..size).flat_map(|k| (1..=CHAINS).map(move |matrix| (k, matrix)));
            summands.map(|(k, matrix)| self.factor(0, row, k) * self.factor(matrix, k, column)).sum()
        };
        let want: Vec<f32> =
            (0..size * size).map(|i| product(i / size, i % size) as f32 * self.rounds as f32).collect();
        let mut made = 0;
        for group in y.chunks(want.len() * self.subgroups as usize) {
            let matrices = group.chunks(want.len()).filter(|matrix| matrix.iter().any(|&value| value != 0.0));
            let (right, wrong): (Vec<&[f32]>, Vec<&[f32]>) = matrices.partition(|&matrix| matrix == want.as_slice());
            if right.is_empty() || !wrong.is_empty() {
                let Self { half, rounds, .. } = self;
                let (right, wrong) = (right.len(), wrong.len());
                return Err(Error::Gpu(format!(
                    "cooperative_matrix, {size}x{size}, f16 {half}, {rounds} rounds: {right} right and {wrong} wrong in \
                     a workgroup"
                )));
            }
            made += right.len() as u64;
        }
        Ok(made)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORK: CooperativeMatrix = CooperativeMatrix { size: 8, half: true, rounds: 3, subgroups: 2, workgroups: 1 };

    /// Computed from the factors as the GPU gets them.
    fn matrix(work: &CooperativeMatrix) -> Vec<f32> {
        let len = (work.size * work.size) as usize;
        let size = work.size as usize;
        let factors: Vec<f32> = match work.half {
            true => {
                let halves: Vec<u16> = bytemuck::pod_collect_to_vec(&work.factors());
                halves.into_iter().map(|bits| f16::from_bits(bits).to_f32()).collect()
            }
            false => work.factors().iter().map(|&bits| f32::from_bits(bits)).collect(),
        };
        let (a, bs) = factors.split_at(len);
        let mut y = vec![0.0; len];
        for b in bs.chunks(len) {
            for (i, sum) in y.iter_mut().enumerate() {
                *sum += (0..size).map(|k| a[i / size * size + k] * b[k * size + i % size]).sum::<f32>() * 3.0;
            }
        }
        y
    }

    #[test]
    fn only_exact_matrices_pass_and_they_are_counted() {
        for (size, half) in [(8, true), (16, true), (8, false), (16, false)] {
            let work = CooperativeMatrix { size, half, ..WORK };
            let right = matrix(&work);
            let zeros = vec![0.0; right.len()];
            let check = |first: &[f32], second: &[f32]| work.check(&[first, second].concat());
            assert_eq!(check(&right, &right).unwrap(), 2, "{work:?}");
            assert_eq!(check(&right, &zeros).unwrap(), 1);
            assert!(check(&zeros, &zeros).is_err());
            let n = size as usize;
            let transposed: Vec<f32> = (0..right.len()).map(|i| right[i % n * n + i / n]).collect();
            assert!(check(&transposed, &zeros).is_err());
            let mut off = right.clone();
            off[n + 1] += 1.0;
            assert!(check(&right, &off).is_err());
            off[n + 1] = f32::NAN;
            assert!(check(&off, &zeros).is_err());
        }
        assert_eq!(WORK.flops(2), 2 * 2 * 4 * 512 * 3);
    }

    #[test]
    fn the_largest_shape_with_half_factors_is_chosen() {
        use CooperativeScalarType::{F16, F32, I32};
        let shape = |m_size, n_size, k_size, ab_type, cr_type| CooperativeMatrixProperties {
            m_size,
            n_size,
            k_size,
            ab_type,
            cr_type,
            saturating_accumulation: false,
        };
        let choose = |offered: &[_]| CooperativeMatrix::choose(offered, 32).map(|work| (work.size, work.half));
        let metal = [shape(8, 8, 8, F32, F32), shape(8, 8, 8, F16, F16), shape(8, 8, 8, F16, F32)];
        assert_eq!(choose(&metal), Some((8, true)));
        assert_eq!(choose(&[metal[2], shape(16, 16, 16, F16, F32), shape(16, 8, 16, F16, F32)]), Some((16, true)));
        assert_eq!(choose(&metal[..2]), Some((8, false)));
        assert_eq!(choose(&[shape(16, 8, 16, F16, F32), shape(16, 16, 16, I32, I32), metal[1]]), None);
        for lanes in [0, 1, 8, 32, 128] {
            let work = CooperativeMatrix::choose(&metal, lanes).unwrap();
            assert!(work.subgroups >= 1 && work.workgroups >= 1 && work.workgroups <= 65_535, "{work:?}");
            assert!(work.workgroups * work.subgroups * 64 * 4 <= BYTES, "{work:?}");
        }
    }
}
