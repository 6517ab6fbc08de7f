//! Tests that need no GPU, a file for each subject.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

#[path = "../graphs.rs"]
mod graphs;

automod::dir!("tests/cpu");
