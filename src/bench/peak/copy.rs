//! Memory traffic without arithmetic. Shader: `peak/copy`.

use super::plan_of;
use crate::plan::{Binding, Buffer, BufferId, Constant, DeviceProfile, Element, Plan, Role, Shader, Step};
use crate::plan::{params, piece, shader};

params! {
    len: u32,
}

static SHADER: Shader = Shader {
    stem: "copy",
    text: shader!("peak/copy"),
    extensions: &[],
    pieces: &[piece!("index")],
    params_binding: 2,
    params: Params::FIELDS,
    tables: &[],
};

/// Copies `bytes`, a multiple of 16 below 2³⁶, from the first of `roles` to the second, this many times.
pub(super) fn plan(profile: &DeviceProfile, wg_size: u32, bytes: u64, roles: [Role; 2], times: usize) -> Plan {
    let len = (bytes / 16) as u32;
    let step = Step {
        bindings: [(0, false), (1, true)]
            .map(|(i, written)| Binding { slot: i, buffer: BufferId(i), written, texels: None })
            .to_vec(),
        ..Step::new("peak", &SHADER, &Params { len }, u64::from(len.div_ceil(wg_size)))
    };
    let steps = vec![step.constant("WG_SIZE", Constant::U32(wg_size)); times];
    let (element, values) = (Element::F32, bytes / Element::F32.bytes());
    let buffer = |(role, label): (_, &str)| Buffer { label: label.into(), element, len: values, role };
    let buffers = roles.into_iter().zip(["x", "y"]).map(buffer);
    plan_of(profile, steps, buffers.collect())
}
