//! What the planner may do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::{Element, Order, Tuning};
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::ops::Texels;
use crate::tensor::{MAX_HOST_BYTES, Precision};

/// Which convolution kernel to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConvKernel {
    /// By device class and shape.
    #[default]
    Auto,
    /// Tiles in workgroup memory, wherever it applies (one group).
    Tiled,
    /// Lanes pass the input to each other, wherever it applies (one group; subgroups of four or eight lanes).
    Subgroup,
    /// No workgroup memory, wherever it applies.
    Direct,
}

impl Precision {
    /// Type of a value in memory.
    pub const fn element(self) -> Element {
        match self {
            Self::F32 => Element::F32,
            Self::F16 => Element::F16,
        }
    }
}

/// What a graph input or output is in its buffer, dense in either order. Bytes are the numbers 0 to 255: results are
/// rounded to the nearest, ties to even, and `NaN` to 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortForm {
    /// Type of a value: [`Element::U8`], [`Element::F16`] or [`Element::F32`].
    pub element: Element,
    /// The order of values: [`Order::Nchw`] or [`Order::NhwcDense`]. What is in NHWC, in the type of
    /// [`PlanOptions::precision`] and of a multiple of four channels, needs no conversion.
    pub order: Order,
}

impl PortForm {
    /// Of a texture's values.
    pub(crate) const fn of_texels(texels: Texels) -> Self {
        match texels {
            Texels::Rgba16Float => Self::NHWC_F16,
            Texels::Rgba8 | Texels::Rgba8Srgb | Texels::R8 | Texels::Rg8 => Self::NHWC_U8,
        }
    }
}

#[expect(missing_docs, reason = "the names are the values")]
impl PortForm {
    pub const NCHW_F32: Self = Self { element: Element::F32, order: Order::Nchw };
    pub const NCHW_F16: Self = Self { element: Element::F16, order: Order::Nchw };
    pub const NCHW_U8: Self = Self { element: Element::U8, order: Order::Nchw };
    pub const NHWC_F32: Self = Self { element: Element::F32, order: Order::NhwcDense };
    pub const NHWC_F16: Self = Self { element: Element::F16, order: Order::NhwcDense };
    pub const NHWC_U8: Self = Self { element: Element::U8, order: Order::NhwcDense };
}

/// What the planner may do. Every pass can be switched off; results agree within the documented error.
///
/// ```
/// let mut options = spp_wgpu::PlanOptions::default();
/// options.max_bytes = Some(64 << 20);
/// options.split_sums = false;
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PlanOptions {
    /// Fold scale, shift and activation into the convolution before them, and activations into sums and linear layers.
    pub fold_affine: bool,
    /// Compute `act(scale * conv + b)` at the end of the convolution.
    pub fuse_add: bool,
    /// Compute a sum of convolutions as one.
    pub fuse_sum: bool,
    /// Compute a formula as part of the formula that alone reads it.
    pub fuse_maps: bool,
    /// Compute once per image what a resized map of one pixel adds to a 1x1 convolution of a concatenation.
    pub image_bias: bool,
    /// Compute chained or nested stride-1 pools in one dispatch.
    pub fuse_cascade: bool,
    /// Compute convolutions that do not depend on each other in one dispatch.
    pub group_convs: bool,
    /// Let producers write their slice of a concatenation.
    pub concat_slices: bool,
    /// Split a convolution's sum among more workgroups if they are few and its first reader can add up the parts.
    pub split_sums: bool,
    /// Let tensors that are not alive at the same time share a buffer.
    pub reuse_buffers: bool,
    /// What weights and intermediate tensors are stored in. Biases, and sums in parts, stay `f32`.
    pub precision: Precision,
    /// By name, nodes that [`PlanOptions::precision`] does not concern: see [`PlanOptions::keep_f32`].
    pub kept_f32: BTreeSet<String>,
    /// What graph inputs and outputs are in their buffers, which [`Program::bind`](crate::Program::bind) takes as they
    /// are, in NCHW. They are converted on the GPU, unless [`PlanOptions::precision`] is the same.
    pub ports: Precision,
    /// By name, the graph inputs and outputs that are something else in their buffers: see [`PlanOptions::port`].
    pub port_forms: BTreeMap<String, PortForm>,
    /// Convolution kernel.
    pub conv_kernel: ConvKernel,
    /// The kernels measured fastest on the adapter, for the classes of convolution that it lists.
    pub tuned: Option<Arc<Tuning>>,
    /// At most this many bytes of GPU memory, weights included; `None`: what the device allows.
    pub max_bytes: Option<u64>,
    /// On a GPU, what is estimated to take longer is dispatched in several turns, each of some of the workgroups: rows
    /// of pixels, or images. Operating systems reset a GPU that does not answer in time, Windows after 2 s. 50 ms
    /// unless set; a dispatch that leaves cores idle is not made smaller, and software adapters have no estimates.
    pub max_dispatch: Duration,
    /// On a GPU, a run is submitted in parts that are each estimated to take no longer, or are one dispatch:
    /// [`Program::submissions`](crate::Program::submissions). 500 ms unless set. Estimates are rough, hence a quarter
    /// of what Windows allows.
    pub max_submission: Duration,
    /// At most this many bytes of host memory for the packed weights and tables of a [`Plan`](crate::Plan). A program
    /// packs them one after the other, and has uploaded each before it makes the next. [`MAX_HOST_BYTES`] unless set.
    pub max_host_bytes: u64,
}

impl Default for PlanOptions {
    fn default() -> Self {
        Self {
            fold_affine: true,
            fuse_add: true,
            fuse_sum: true,
            fuse_maps: true,
            image_bias: true,
            fuse_cascade: true,
            group_convs: true,
            concat_slices: true,
            split_sums: true,
            reuse_buffers: true,
            precision: Precision::F32,
            kept_f32: BTreeSet::new(),
            ports: Precision::F32,
            port_forms: BTreeMap::new(),
            conv_kernel: ConvKernel::Auto,
            tuned: None,
            max_bytes: None,
            max_dispatch: Duration::from_millis(50),
            max_submission: Duration::from_millis(500),
            max_host_bytes: MAX_HOST_BYTES,
        }
    }
}

impl PlanOptions {
    /// Every pass off: each node by itself.
    pub fn unfused() -> Self {
        Self {
            fold_affine: false,
            fuse_add: false,
            fuse_sum: false,
            fuse_maps: false,
            image_bias: false,
            fuse_cascade: false,
            group_convs: false,
            concat_slices: false,
            split_sums: false,
            reuse_buffers: false,
            ..Self::default()
        }
    }

    /// The same, with weights and tensors stored in `precision`.
    pub fn precision(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// The same, with the weights and results of these nodes in `f32`, whatever [`PlanOptions::precision`] is: where
    /// `f16` is too coarse, as for sums that cancel. Each border between the two costs a dispatch. Names are those of
    /// the plan's steps. Planning refuses a name that no node of the plan has.
    pub fn keep_f32<T: Into<String>>(mut self, nodes: impl IntoIterator<Item = T>) -> Self {
        self.kept_f32.extend(nodes.into_iter().map(T::into));
        self
    }

    /// The same, with graph inputs and outputs in `ports`.
    pub fn ports(self, ports: Precision) -> Self {
        Self { ports, ..self }
    }

    /// The same, with the graph input or output of this name in another form than all others; where an input and an
    /// output have the name, both. Planning refuses a name that no input or output has.
    ///
    /// ```
    /// use spp_wgpu::{PlanOptions, plan::PortForm};
    /// let options = PlanOptions::default().port("frame", PortForm::NHWC_U8).port("scores", PortForm::NHWC_F16);
    /// ```
    pub fn port(mut self, name: impl Into<String>, form: PortForm) -> Self {
        self.port_forms.insert(name.into(), form);
        self
    }

    /// What the graph input or output of this name is in its buffer.
    pub(crate) fn port_form(&self, name: &str) -> PortForm {
        let others = PortForm { element: self.ports.element(), order: Order::Nchw };
        self.port_forms.get(name).copied().unwrap_or(others)
    }

    /// Errors: forms that no port can have, and those of names that no input or output of the graph has.
    pub(crate) fn check_ports(&self, graph: &Graph) -> Result<()> {
        for (name, PortForm { element, order }) in &self.port_forms {
            let what = || format!("the form of port '{name}'");
            let inputs = graph.inputs().map(|(_, node)| (&node.name, node));
            let outputs = graph.outputs().iter().map(|(name, id)| (name, &graph.nodes()[id.index()]));
            let mut named = inputs.chain(outputs).filter(|(other, _)| *other == name).peekable();
            if named.peek().is_none() {
                return Err(Error::data(what(), "no graph input or output has the name"));
            }
            if named.any(|(_, node)| node.op.texels().is_some()) {
                return Err(Error::data(what(), "it is a texture, whose texels say what it holds"));
            }
            if *element == Element::U32 || *order == Order::Nhwc {
                let reason = format!("{element} {order:?} is for kernels: a port is U8, F16 or F32, Nchw or NhwcDense");
                return Err(Error::data(what(), reason));
            }
        }
        Ok(())
    }

    /// The same, with the kernels found fastest on the adapter.
    pub fn tuned(self, tuning: impl Into<Arc<Tuning>>) -> Self {
        Self { tuned: Some(tuning.into()), ..self }
    }
}
