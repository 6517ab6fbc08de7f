//! Tests that need no GPU, a module a subject.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod bad_input;
mod blocks;
mod buffers;
#[path = "../graphs.rs"]
mod graphs;
mod image_bias;
mod memory;
mod plans;
mod shaders;
mod shapes;
mod split_sums;
mod weights;
