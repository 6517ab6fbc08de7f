//! Tests that need no GPU, a module a subject.

mod bad_input;
mod blocks;
mod shapes;
mod weights;
