//! Spatial pyramid pooling networks as WGSL compute shaders.

pub mod blocks;
pub mod case;
pub mod detection;
pub mod error;
pub mod gpu;
pub mod graph;
pub mod ops;
pub mod plan;
pub mod reference;
pub mod tensor;
pub mod weights;

pub use case::Case;
pub use error::{Error, Result};
pub use gpu::{Gpu, GpuOptions, Program};
pub use graph::{Graph, Node, NodeId, Op};
pub use plan::{DeviceClass, DeviceProfile, Plan, PlanOptions};
pub use tensor::{Shape, Tensor};
pub use weights::Weights;
pub use wgpu;
