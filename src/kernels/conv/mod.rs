//! Convolutions: jobs that may share a dispatch, and the kernels that can compute them. Attributes:
//! [`crate::ops::Conv`] and [`crate::ops::ConvSum`].

use crate::error::Result;
use crate::plan::{Builder, ConvVariant};

mod choice;
pub(crate) mod depthwise;
pub(crate) mod direct;
pub(crate) mod grouped;
mod jobs;
mod parts;
pub(crate) mod shift_add;
pub(crate) mod subgroup;
pub(crate) mod tile;

pub(crate) use jobs::Job;
pub(crate) use parts::Parts;

/// Jobs that do not depend on each other, in as few dispatches as possible. Chooses each one's kernel. Returns the parts
/// left for their reader to add up, if a sum was split: it is then alone in its dispatch.
pub(crate) fn plan(builder: &mut Builder, jobs: Vec<Job>) -> Result<Option<Parts>> {
    let (mut whole, mut direct, mut depthwise) = (Vec::new(), Vec::new(), Vec::new());
    for job in jobs {
        if depthwise::supports(&job) {
            depthwise.push(job);
        } else if grouped::supports(&job) {
            grouped::plan(builder, job)?;
        } else if job.terms.iter().all(|term| term.conv.groups == 1) {
            whole.push(job);
        } else {
            direct.push(job);
        }
    }
    let mut parts = None;
    if !whole.is_empty() {
        let choice = choice::choose(builder, &whole);
        let before = builder.steps.len();
        parts = plan_by(builder, choice.taken, whole)?;
        builder.steps[before..].iter_mut().for_each(|step| step.choice = Some(choice.clone()));
    }
    direct::plan(builder, direct)?;
    depthwise::plan(builder, depthwise)?;
    Ok(parts)
}

/// With a kernel that the device and the jobs allow.
fn plan_by(builder: &mut Builder, variant: ConvVariant, jobs: Vec<Job>) -> Result<Option<Parts>> {
    match variant {
        ConvVariant::Tiled(tile) => return tile::plan(builder, tile, jobs),
        ConvVariant::Subgroup { rows } => subgroup::plan(builder, jobs, rows)?,
        ConvVariant::Direct => direct::plan(builder, jobs)?,
        ConvVariant::ShiftAdd => {
            for job in &jobs {
                let (products, sum) = shift_add::split(builder, job)?;
                let products = vec![products];
                let variant = choice::untuned(builder, &products);
                plan_by(builder, variant, products)?;
                sum.plan(builder)?;
            }
        }
    }
    Ok(None)
}
