//! Resizing by any weights. Attributes: [`crate::ops::Resample`]; shader: `resample`.

use std::borrow::Cow;
use std::sync::Arc;

use super::{WG_SIZE, sizes, workgroups};
use crate::error::{Error, Result};
use crate::ops::{Recipe, Resample, Taps};
use crate::plan::{Builder, Shader, Slice, Step, params, piece, shader};
use crate::tensor::MAX_ELEMENTS;

params! {
    len: u32,
    channels: u32,
    channels4: u32,
    in_h: u32,
    in_w: u32,
    out_h: u32,
    out_w: u32,
    x_offset: u32,
    x_stride: u32,
    y_offset: u32,
    y_stride: u32,
    fill: f32,
}

pub(crate) static SHADER: Shader = Shader {
    stem: "resample",
    text: shader!("resample"),
    extensions: &[],
    pieces: &[piece!("index"), piece!("lanes")],
    params_binding: 2,
    params: Params::FIELDS,
    tables: &[],
};

/// Where a row or a column without taps has its first.
const NO_TAP: u32 = u32::MAX;

/// The taps of rows, then of columns, each made up to the most: where, and the bits of the weight.
#[derive(PartialEq, Eq, Hash)]
struct Table(Vec<u32>);

impl Recipe<u32> for Table {
    fn values(&self) -> Cow<'_, [u32]> {
        (&self.0).into()
    }
}

/// The most taps of an axis; at least 1.
fn most(axis: &Arc<[Taps]>) -> u32 {
    axis.iter().map(|taps| taps.len() as u32).max().unwrap_or(1).max(1)
}

/// One dispatch: reads slice `x`, writes slice `y`.
pub(crate) fn plan(builder: &mut Builder, node: &str, resample: &Resample, x: &Slice, y: &Slice) -> Result<()> {
    let axes = [&resample.rows, &resample.columns];
    let [row_taps, column_taps] = axes.map(most);
    let table_len = axes.iter().map(|axis| 2 * axis.len() as u64 * u64::from(most(axis))).sum();
    if table_len > MAX_ELEMENTS {
        let op = format!("resample '{node}'");
        return Err(Error::TooLarge { op, what: "the number of taps", value: table_len, max: MAX_ELEMENTS });
    }
    let mut table = Vec::with_capacity(table_len as usize);
    for (axis, most) in axes.into_iter().zip([row_taps, column_taps]) {
        for taps in axis.iter() {
            let end = table.len() + 2 * most as usize;
            table.extend(taps.iter().flat_map(|(at, weight)| [*at, weight.to_bits()]));
            let missing = if taps.is_empty() { NO_TAP } else { 0 };
            while table.len() < end {
                table.extend([missing, 0]);
            }
        }
    }
    let table = builder.table(format!("taps of '{node}'"), table_len, Table(table))?;
    let len = y.pixels() * y.channels4();
    let params = Params {
        len,
        channels: y.lanes_to_keep(),
        channels4: y.channels4(),
        in_h: x.shape.h,
        in_w: x.shape.w,
        out_h: y.shape.h,
        out_w: y.shape.w,
        x_offset: x.offset4(),
        x_stride: x.stride4(),
        y_offset: y.offset4(),
        y_stride: y.stride4(),
        fill: resample.fill,
    };
    let step = Step::new(node, &SHADER, &params, workgroups(len)).reads(0, x).writes(1, y).table(3, table);
    let step = step.loops([row_taps, column_taps]);
    let flops = 2 * u64::from(row_taps) * (u64::from(column_taps) + 1);
    let step = step.flops(flops.saturating_mul(y.shape.len()));
    let taps = [("WG_SIZE", WG_SIZE), ("ROW_TAPS", row_taps), ("COLUMN_TAPS", column_taps)];
    builder.push(step.constants(sizes(taps)).pieces(builder.stored()));
    Ok(())
}
