//! Dispatches that do next to nothing, each waiting for the one before. Shader: `peak/count`.

use super::plan_of;
use crate::plan::{Binding, Buffer, BufferId, DeviceProfile, Element, Plan, Role, Shader, Step};
use crate::plan::{params, shader};

params! {
    step: f32,
}

static SHADER: Shader = Shader {
    stem: "count",
    text: shader!("peak/count"),
    extensions: &[],
    pieces: &[],
    params_binding: 1,
    params: Params::FIELDS,
    tables: &[],
};

/// This many dispatches; their number is the first run's output.
pub(super) fn plan(profile: &DeviceProfile, dispatches: usize) -> Plan {
    let step = Step {
        bindings: vec![Binding { slot: 0, buffer: BufferId(0), written: true, texels: None }],
        ..Step::new("peak", &SHADER, &Params { step: 1.0 }, 1)
    };
    let y = Buffer { label: "y".into(), element: Element::F32, len: 1, role: Role::Output(0) };
    plan_of(profile, vec![step; dispatches], vec![y])
}
