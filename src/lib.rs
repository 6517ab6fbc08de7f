//! Spatial pyramid pooling networks as WGSL compute shaders.

pub mod blocks;
pub mod case;
pub mod detection;
pub mod error;
pub mod graph;
pub mod ops;
pub mod reference;
pub mod tensor;
pub mod weights;

pub use error::{Error, Result};
pub use graph::{Graph, Node, NodeId, Op};
pub use tensor::{Shape, Tensor};
