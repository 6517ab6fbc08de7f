//! Spatial pyramid pooling networks — SPP, SPPF, SPPCSPC, ASPP, RFB and kin — as hand-written WGSL compute shaders on
//! any GPU that wgpu reaches. The [README](https://crates.io/crates/spp-wgpu) says what for; this page is the
//! architecture.
//!
//! Data goes one way:
//!
//! ```text
//! Weights + blocks → Graph → (passes) → Plan → Program → Tensor
//!                      └──────── reference ───────────────┘ the same numbers, on the CPU
//! ```
//!
//! | noun | what it is | knows wgpu |
//! | --- | --- | --- |
//! | [`Tensor`] | host data: a [`Shape`] and its values, NCHW | no |
//! | [`Weights`] | named tensors of a safetensors file, called as in PyTorch's `state_dict` | no |
//! | [`Graph`] | what to compute: nodes with inferred shapes; builders check everything | no |
//! | [`Plan`] | how: dispatches, buffers and slices for one [`DeviceProfile`]; printable | no |
//! | [`Gpu`] | adapter, device, queue, limits, compiled kernels; ours, or the app's own | yes |
//! | [`Program`] | a plan made real on a device: `run`, `run_async`, `record` | yes |
//!
//! - [`ops`] has a file for each operation: attributes, shape rule, the shader's parameters, how it is planned. Its
//!   shader, reference, GPU test share its name. Start with `max_pool`: `shaders/max_pool.wgsl`,
//!   `src/ops/max_pool.rs`, `src/reference/max_pool.rs`, `tests/gpu/max_pool.rs`.
//! - [`blocks`] builds the published systems out of operations, each by its `state_dict` keys.
//! - [`plan`] has a file for each pass. On the GPU tensors are NHWC, channels padded to a multiple of four with zeros; a
//!   tensor is a [`plan::Slice`] of a buffer, so that concatenation costs nothing where producers write in place.
//! - [`mod@reference`] is the truth: plain loops in `f64`, with the error that `f32` may have beside each value. It shares
//!   the `Graph` with the planner, and nothing else.
//! - [`detection`] turns RFBNet's output into boxes, on the CPU. [`case`] reads files of weights, input and expected
//!   output, and lists the published shapes.
//!
//! No module uses one to its right in that table. Every function that can fail returns [`Result`]; an [`Error`] names
//! the node, both shapes or the limit, and a remedy. All `unsafe` is in `src/gpu/trusted.rs`.

pub mod bench;
pub mod blocks;
pub mod case;
pub mod detection;
pub mod error;
pub mod gpu;
pub mod graph;
pub mod kernels;
pub mod ops;
mod passes;
pub mod plan;
pub mod reference;
pub mod tensor;
pub mod weights;

pub use case::Case;
pub use error::{Error, Result};
pub use gpu::{Bindings, Gpu, GpuOptions, Program};
pub use graph::{Graph, Node, NodeId, Op};
pub use plan::{DeviceClass, DeviceProfile, Plan, PlanOptions};
pub use tensor::{Shape, Tensor};
pub use weights::Weights;
pub use wgpu;

/// The README's example compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
