//! Sums, means, extremes and their places over some axes. Attributes: [`crate::ops::Reduce`]; shader: `reduce`.

use super::sizes;
use crate::error::Result;
use crate::ops::{Axis, Reduce, ReduceKind, Strided};
use crate::plan::{Builder, DeviceClass, Piece, Shader, Slice, Step, params, piece, shader};

params! {
    len: u32,
    count: u32,
    x_offset: u32,
    kept_1: u32,
    kept_2: u32,
    kept_stride_0: u32,
    kept_stride_1: u32,
    kept_stride_2: u32,
    over_1: u32,
    over_2: u32,
    over_stride_0: u32,
    over_stride_1: u32,
    over_stride_2: u32,
    y_offset: u32,
    y_stride: u32,
    y_image_len: u32,
}

pub(crate) static SHADER: Shader = Shader {
    stem: "reduce",
    text: shader!("reduce"),
    extensions: &[],
    pieces: &[piece!("index")],
    params_binding: 2,
    params: Params::FIELDS,
    tables: &[],
};

const WG_SIZE: u32 = super::WG_SIZE;

/// One dispatch: reads `x`, writes slice `y`, both of values in NCHW.
pub(crate) fn plan(builder: &mut Builder, node: &str, reduce: &Reduce, x: &Slice, y: &Slice) -> Result<()> {
    let [kept, over] = [&reduce.kept.axes, &reduce.over].map(|axes| {
        let walk = Strided { offset: 0, axes: axes.clone() }.merged();
        (three(&walk), walk.axes.len() as u32)
    });
    let (kept, (over, over_axes)) = (kept.0, over);
    let [len, count] = [&kept, &over].map(|axes| axes.iter().map(|axis| axis.extent).product::<u32>());
    let params = Params {
        len,
        count,
        x_offset: x.offset + reduce.kept.offset,
        kept_1: kept[1].extent,
        kept_2: kept[2].extent,
        kept_stride_0: kept[0].stride as u32,
        kept_stride_1: kept[1].stride as u32,
        kept_stride_2: kept[2].stride as u32,
        over_1: over[1].extent,
        over_2: over[2].extent,
        over_stride_0: over[0].stride as u32,
        over_stride_1: over[1].stride as u32,
        over_stride_2: over[2].stride as u32,
        y_offset: y.offset,
        y_stride: y.stride,
        y_image_len: y.shape.c * y.shape.h * y.shape.w,
    };
    let Form { kind, pieces, bytes, passes } = form(&reduce.kind);
    let beside = over[2].stride != 1 && kept[2].stride == 1 && kept[2].extent >= WG_SIZE;
    let shares = shares(builder.profile.class, count, beside);
    let next = if beside { WG_SIZE / shares } else { 1 };
    let workgroups = u64::from(len.div_ceil(WG_SIZE / shares));
    let step = Step::new(node, &SHADER, &params, workgroups).reads(0, x).writes(1, y).pieces(pieces);
    let step = step.loops([passes, count.div_ceil(shares)]).flops(u64::from(passes * count) * u64::from(len));
    let step = match &reduce.kind {
        ReduceKind::Expected(weights) => {
            step.table(3, builder.biases(format!("weights of '{node}'"), weights.to_vec())?)
        }
        _ => step,
    };
    let constants = [("WG_SIZE", WG_SIZE), ("SHARES", shares), ("NEXT", next), ("KIND", kind)];
    let step = step.memory(bytes * WG_SIZE).constants(sizes(constants));
    builder.push(step.constants(sizes([("OVER_AXES", over_axes.max(1))])));
    Ok(())
}

/// The axes of a walk, after as many of extent 1 as make three.
fn three(walk: &Strided) -> [Axis; 3] {
    let mut axes = [Axis { extent: 1, stride: 0 }; 3];
    for (to, axis) in axes.iter_mut().rev().zip(walk.axes.iter().rev()) {
        *to = *axis;
    }
    axes
}

/// What completes the shader for a kind.
struct Form {
    /// Its number in the pieces.
    kind: u32,
    pieces: &'static [&'static Piece],
    /// Of what an invocation has made of its share.
    bytes: u32,
    /// Over the values.
    passes: u32,
}

fn form(kind: &ReduceKind) -> Form {
    static SUM: [&Piece; 1] = [piece!("total_sum")];
    static PRODUCT: [&Piece; 1] = [piece!("total_product")];
    static ORDER: [&Piece; 2] = [piece!("total_order"), piece!("keys")];
    static PLACE: [&Piece; 2] = [piece!("total_place"), piece!("keys")];
    static EXP: [&Piece; 3] = [piece!("total_exp"), piece!("keys"), piece!("weights_none")];
    static EXPECTED: [&Piece; 3] = [piece!("total_exp"), piece!("keys"), piece!("weights_table")];
    let of = |kind, pieces, bytes, passes| Form { kind, pieces, bytes, passes };
    match kind {
        ReduceKind::Sum => of(0, &SUM, 4, 1),
        ReduceKind::Mean => of(1, &SUM, 4, 1),
        ReduceKind::L1 => of(2, &SUM, 4, 1),
        ReduceKind::L2 => of(3, &SUM, 4, 1),
        ReduceKind::SumSquare => of(4, &SUM, 4, 1),
        ReduceKind::Product => of(5, &PRODUCT, 4, 1),
        ReduceKind::Max => of(6, &ORDER, 4, 1),
        ReduceKind::Min => of(7, &ORDER, 4, 1),
        ReduceKind::ArgMax { last } => of(8 + u32::from(*last), &PLACE, 8, 1),
        ReduceKind::ArgMin { last } => of(10 + u32::from(*last), &PLACE, 8, 1),
        ReduceKind::LogSumExp => of(12, &EXP, 8, 2),
        ReduceKind::Expected(_) => of(13, &EXPECTED, 8, 2),
    }
}

/// Invocations that share a result; a power of two. Where neighbouring results lie side by side, a few; else a workgroup
/// shares long ones. On a software adapter, each makes its own, but none of more values than fill a cache.
const fn shares(class: DeviceClass, count: u32, beside: bool) -> u32 {
    match class.sharing() {
        1 if count <= 1 << 16 => 1,
        1 => WG_SIZE,
        few if count < 2 * few => 1,
        few if beside || count <= 128 => few,
        _ => WG_SIZE,
    }
}
