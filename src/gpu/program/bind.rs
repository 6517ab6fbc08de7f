//! The app's buffers for graph inputs and outputs.

use std::sync::Arc;

use wgpu::{BindGroup, BindingResource, Buffer, BufferBinding, BufferUsages, Texture, TextureView};

use super::Program;
use super::build::{bind_group, create};
use super::port::Held;
use crate::error::{Error, Result};
use crate::gpu::{Gpu, texture};
use crate::plan::{Plan, Port, Role};

/// The buffers that one recording reads and writes: see [`Program::bind`].
#[derive(Debug)]
pub struct Bindings {
    /// One entry per dispatch, `None` where the program's own bind group is used.
    pub(super) bind_groups: Vec<Option<BindGroup>>,
    /// Scratch buffers of their own, by buffer number; empty if they are the program's.
    pub(super) scratch: Vec<Option<Buffer>>,
    /// What is read back, by [`Program::read`].
    pub(super) outputs: Vec<Held>,
    /// The [`Program::identity`] of the program that they are for.
    pub(super) program: Arc<()>,
}

/// What a graph input or output is bound to.
#[derive(Clone, Debug)]
pub enum Bound<'a> {
    /// A buffer, or a part of one.
    Buffer(BufferBinding<'a>),
    /// A texture; of several mip levels, the first.
    Texture(&'a Texture),
}

impl<'a> From<BufferBinding<'a>> for Bound<'a> {
    fn from(binding: BufferBinding<'a>) -> Self {
        Self::Buffer(binding)
    }
}

impl<'a> From<&'a Buffer> for Bound<'a> {
    fn from(buffer: &'a Buffer) -> Self {
        Self::Buffer(buffer.as_entire_buffer_binding())
    }
}

impl<'a> From<&'a Texture> for Bound<'a> {
    fn from(texture: &'a Texture) -> Self {
        Self::Texture(texture)
    }
}

fn bound<'a, T: Clone + Into<Bound<'a>>>(ports: &[T]) -> Vec<Bound<'a>> {
    ports.iter().cloned().map(Into::into).collect()
}

impl Program {
    /// Prepares recordings that read graph inputs from `inputs` and write graph outputs to `outputs`, in the graph's
    /// order: the app's buffers, textures, or both, as [`Bound`]: `[Bound::from(&texture), Bound::from(&buffer)]`.
    ///
    /// Buffers hold dense NCHW of the type [`PlanOptions::ports`], or what [`PlanOptions::port`] says, and have the
    /// usage `STORAGE`. They may lie apart from each other in one buffer, unless a dispatch reads one and writes the
    /// other. Values that do not fill the last word take it whole: the rest of it is neither read nor written. Textures
    /// have a format that [`Texels`](crate::ops::Texels) names, the graph's size, one sample, and the usage
    /// `TEXTURE_BINDING`, or `STORAGE_BINDING` as outputs.
    ///
    /// Errors: what is too small, of another size, format or number of samples, lacks a usage, is misaligned, would be
    /// read and written at once, or belongs to another device. It cannot recognise what is of another wgpu instance:
    /// wgpu may panic.
    ///
    /// [`PlanOptions::ports`]: crate::PlanOptions::ports
    /// [`PlanOptions::port`]: crate::PlanOptions::port
    pub fn bind<'a, I, O>(&self, inputs: &[I], outputs: &[O]) -> Result<Bindings>
    where
        I: Clone + Into<Bound<'a>>,
        O: Clone + Into<Bound<'a>>,
    {
        self.bind_with(bound(inputs), bound(outputs), Vec::new())
    }

    /// As [`Program::bind`], with scratch buffers of their own, which take [`Plan::scratch_bytes`] of the device's
    /// memory until the bindings are dropped: recordings with these bindings and with others share nothing that is
    /// written, if inputs and outputs are others, too, so that a device may work on several at once. One set for each
    /// frame in flight is enough. Errors: those of [`Program::bind`]; out of memory.
    pub fn bind_apart<'a, I, O>(&self, inputs: &[I], outputs: &[O]) -> Result<Bindings>
    where
        I: Clone + Into<Bound<'a>>,
        O: Clone + Into<Bound<'a>>,
    {
        self.gpu.alive()?;
        let own = self.plan.buffers.iter().map(|buffer| match buffer.role {
            Role::Scratch => create(&self.gpu, &buffer.label, buffer.bytes()).map(Some),
            _ => Ok(None),
        });
        self.bind_with(bound(inputs), bound(outputs), own.collect::<Result<Vec<_>>>()?)
    }

    /// With these buffers, by buffer number, instead of the program's.
    fn bind_with(&self, inputs: Vec<Bound>, outputs: Vec<Bound>, scratch: Vec<Option<Buffer>>) -> Result<Bindings> {
        self.gpu.alive()?;
        check_ports("input", &self.gpu, &self.plan.inputs, &inputs, false)?;
        check_ports("output", &self.gpu, &self.plan.outputs, &outputs, true)?;
        check_apart(&self.plan, &inputs, &outputs)?;
        let held = outputs.iter().map(Held::of).collect();
        let [inputs, outputs] = [inputs, outputs].map(|bound| bound.into_iter().map(|bound| self.view(bound)));
        let (inputs, outputs) = (inputs.collect::<Result<Vec<_>>>()?, outputs.collect::<Result<Vec<_>>>()?);
        let mut bind_groups = Vec::with_capacity(self.dispatches.len());
        for (i, (step, dispatch)) in self.plan.steps.iter().zip(&self.dispatches).enumerate() {
            let apart = |index: usize| scratch.get(index).and_then(Option::as_ref);
            if dispatch.bind_group.is_some() && step.bindings.iter().all(|b| apart(b.buffer.index()).is_none()) {
                bind_groups.push(None);
                continue;
            }
            let bound = step.bindings.iter().map(|binding| {
                let index = binding.buffer.index();
                let bytes = self.plan.buffers[index].bytes();
                match (apart(index).or(self.buffers[index].as_ref()), &self.plan.buffers[index].role) {
                    (Some(buffer), _) => buffer.as_entire_binding(),
                    (None, Role::Output(position)) => outputs[*position].resource(bytes),
                    (None, Role::Input(position)) => inputs[*position].resource(bytes),
                    (None, _) => self.params.as_entire_binding(),
                }
            });
            let bound: Vec<BindingResource> = bound.collect();
            let params = (&self.params, self.params_offsets[i]);
            bind_groups.push(Some(bind_group(&self.gpu, step, &dispatch.kernel, &bound, params)?));
        }
        Ok(Bindings { bind_groups, scratch, outputs: held, program: Arc::clone(&self.identity) })
    }

    fn view<'a>(&self, bound: Bound<'a>) -> Result<Viewed<'a>> {
        match bound {
            Bound::Buffer(binding) => Ok(Viewed::Buffer(binding)),
            Bound::Texture(texture) => self.gpu.scoped(|_| texture::view(texture)).map(Viewed::Texture),
        }
    }
}

/// What kernels see of a [`Bound`].
enum Viewed<'a> {
    Buffer(BufferBinding<'a>),
    Texture(TextureView),
}

impl Viewed<'_> {
    /// A buffer is cut to the size that the plan needs.
    fn resource(&self, bytes: u64) -> BindingResource<'_> {
        match self {
            Self::Buffer(binding) => {
                BindingResource::Buffer(BufferBinding { size: std::num::NonZero::new(bytes), ..binding.clone() })
            }
            Self::Texture(view) => BindingResource::TextureView(view),
        }
    }
}

fn check_ports(kind: &str, gpu: &Gpu, ports: &[Port], bound: &[Bound], written: bool) -> Result<()> {
    if ports.len() != bound.len() {
        return Err(Error::data(format!("{kind}s"), format!("the graph has {}, got {}", ports.len(), bound.len())));
    }
    for (port, bound) in ports.iter().zip(bound) {
        let problem = match (port.texels, bound) {
            (None, Bound::Buffer(binding)) => buffer_problem(gpu, port, binding),
            (Some(texels), Bound::Texture(texture)) => texture::problem(texture, port, texels, written),
            (None, Bound::Texture(_)) => Some("it is bound to a texture, but the graph has it in a buffer".into()),
            (Some(texels), Bound::Buffer(_)) => Some(format!("it is bound to a buffer, but is a texture of {texels}")),
        };
        if let Some(problem) = problem {
            return Err(Error::data(format!("{kind} '{}'", port.name), problem));
        }
    }
    Ok(())
}

fn buffer_problem(gpu: &Gpu, port: &Port, BufferBinding { buffer, offset, size }: &BufferBinding) -> Option<String> {
    let alignment = u64::from(gpu.device().limits().min_storage_buffer_offset_alignment);
    let needed = port.bytes();
    let room = size.map_or_else(|| buffer.size().saturating_sub(*offset), |size| size.get());
    if !buffer.usage().contains(BufferUsages::STORAGE) {
        return Some("its buffer lacks the usage STORAGE".into());
    }
    if offset % alignment != 0 {
        return Some(format!(
            "its offset {offset} is not a multiple of min_storage_buffer_offset_alignment, {alignment}"
        ));
    }
    (room < needed || offset.saturating_add(room) > buffer.size()).then(|| {
        format!(
            "{} needs {needed} bytes, its binding holds {room} from offset {offset} of a buffer of {}",
            port.shape,
            buffer.size()
        )
    })
}

/// Whether both are of one buffer or texture.
fn is_shared(a: &Bound, b: &Bound) -> bool {
    match (a, b) {
        (Bound::Buffer(a), Bound::Buffer(b)) => a.buffer == b.buffer,
        (Bound::Texture(a), Bound::Texture(b)) => a == b,
        _ => false,
    }
}

/// Outputs overlap nothing, and no dispatch reads and writes one of the app's buffers.
fn check_apart(plan: &Plan, inputs: &[Bound], outputs: &[Bound]) -> Result<()> {
    let refused = |port: &Port, reason: String| Err(Error::data(format!("output '{}'", port.name), reason));
    let inputs = plan.inputs.iter().zip(inputs);
    let outputs = plan.outputs.iter().zip(outputs);
    for (i, (output, at)) in outputs.clone().enumerate() {
        let others = inputs.clone().chain(outputs.clone().take(i));
        let mut shared = others.filter(|(_, other)| is_shared(other, at));
        let overlaps = |port: &Port, other: &Bound| match (at, other) {
            (Bound::Buffer(at), Bound::Buffer(other)) => {
                at.offset < other.offset + port.bytes() && other.offset < at.offset + output.bytes()
            }
            _ => true,
        };
        if let Some((port, _)) = shared.find(|(port, other)| overlaps(port, other)) {
            return refused(output, format!("its bytes are bound twice, for '{}' as well", port.name));
        }
    }
    for step in &plan.steps {
        let ports = inputs.clone().chain(outputs.clone());
        let bound = |written: bool| {
            let binds = move |port: &Port| {
                step.bindings.iter().any(|binding| (binding.buffer, binding.written) == (port.buffer, written))
            };
            ports.clone().filter(move |(port, _)| binds(port))
        };
        for (output, at) in bound(true) {
            if let Some((read, _)) = bound(false).find(|(_, other)| is_shared(other, at)) {
                let (node, read) = (&step.node, &read.name);
                let reason = format!("'{node}' reads '{read}' as it writes this: wgpu allows that in two buffers only");
                return refused(output, reason);
            }
        }
    }
    Ok(())
}
