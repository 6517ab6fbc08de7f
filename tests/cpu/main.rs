//! Tests that need no GPU, one file per subject.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

#[path = "../fuzz.rs"]
mod fuzz;
#[path = "../graphs.rs"]
mod graphs;

mod bad_input;
mod blocks;
mod buffers;
mod estimates;
mod factors;
mod fuzz_plans;
mod heads;
mod image_bias;
mod large_graphs;
mod layers;
mod memory;
mod needs;
#[cfg(feature = "onnx")]
mod onnx;
#[cfg(feature = "onnx")]
mod onnx_files;
mod plans;
mod precision;
mod priors;
mod profiles;
mod resized;
mod shader_files;
mod shaders;
mod shapes;
mod sizes;
mod split_sums;
mod static_tables;
mod weights;
