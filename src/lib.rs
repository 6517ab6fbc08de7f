//! Spatial pyramid pooling networks — SPP, SPPF, SPPCSPC, ASPP, RFB and kin — as hand-written WGSL compute shaders on
//! any GPU that wgpu reaches. The [README](https://crates.io/crates/spp-wgpu) says what it is for; this page
//! describes the architecture.
//!
//! Data flows one way:
//!
//! ```text
//! Weights + blocks → Graph → (passes) → Plan → Program → Tensor
//!                      └──────── reference ───────────────┘ the same numbers, on the CPU
//! ```
//!
//! | noun | what it is | knows wgpu |
//! | --- | --- | --- |
//! | [`Tensor`] | host data: a [`Shape`] and its values, NCHW | no |
//! | [`Weights`] | tensors of a safetensors file, named as in PyTorch's `state_dict` | no |
//! | [`Graph`] | what to compute: nodes with inferred shapes; builders check everything | no |
//! | [`Plan`] | how: dispatches, buffers and slices for one [`DeviceProfile`]; printable | no |
//! | [`Gpu`] | adapter, device, queue, limits, compiled kernels; ours, or the app's own | yes |
//! | [`Program`] | a plan made real on a device: `run`, `run_async`, `record` | yes |
//!
//! # Layers
//!
//! Each module uses only those above or beside it in this table:
//!
//! | module | what is in it |
//! | --- | --- |
//! | [`error`], [`tensor`] | [`Error`], which names the node, both shapes or the limit, and a remedy; [`Shape`], [`Tensor`] |
//! | [`ops`] | what an operation is: attributes, shape rule, cost and receptive field; one file each |
//! | [`graph`] | nodes and their builders, the cost of a whole graph, graphs as text and as drawings |
//! | [`weights`], [`blocks`] | weight files; the published systems built from operations, by their `state_dict` keys |
//! | [`mod@reference`] | the truth: plain `f64` loops, one file per operation, and for each value the error that `f32` may have |
//! | `onnx` | models of other frameworks as graphs, with the feature of that name |
//! | [`detection`], [`case`] | RFBNet's output as boxes; files of weights, input and expected output; the published shapes |
//! | [`plan`] | nouns: dispatches, buffers, slices, shaders, options, chosen kernels; and a builder for them |
//! | [`kernels`] | how operations become dispatches: one file per shader that computes |
//! | `passes` | [`Plan::new`], from graph to plan: passes over the graph, placement of results, lowering |
//! | [`gpu`] | devices, programs, compiled pipelines, transfers, timestamps, the self test; all `unsafe` is in `src/gpu/trusted.rs` |
//! | [`mod@bench`] | measuring: statistics, rooflines, tuning |
//!
//! `reference` shares the graph with the planner, but nothing of `plan`, `kernels` or `passes`. The command line,
//! `src/bin/spp`, stands on top of them all.
//!
//! On the GPU, tensors are NHWC, with channels zero-padded to a multiple of four. A tensor is a [`plan::Slice`] of a
//! buffer, so that concatenation costs nothing if producers write in place.
//!
//! An operation, its reference and its GPU test share one name, as do a shader, its kernel and its GPU test; most
//! operations have a shader of their name. To see how they fit together, read `src/ops/max_pool.rs`,
//! `src/reference/max_pool.rs`, `shaders/max_pool.wgsl`, `src/kernels/max_pool.rs` and `tests/gpu/max_pool.rs`.
//!
//! Every function that can fail returns [`Result`].

pub mod bench;
pub mod blocks;
pub mod case;
pub mod detection;
pub mod error;
pub mod gpu;
pub mod graph;
pub mod kernels;
#[cfg(feature = "onnx")]
pub mod onnx;
pub mod ops;
mod passes;
pub mod plan;
pub mod reference;
pub mod tensor;
pub mod weights;

pub use case::Case;
pub use error::{Error, Result};
pub use gpu::{Bindings, Bound, Gpu, GpuOptions, Program};
pub use graph::{Graph, Node, NodeId, Op};
pub use plan::{DeviceClass, DeviceProfile, Plan, PlanOptions};
pub use tensor::{MAX_HOST_BYTES, Precision, Shape, Tensor};
pub use weights::Weights;
pub use wgpu;

/// The README's example compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
