//! Tests that need no GPU, one file per subject.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

#[path = "../graphs.rs"]
mod graphs;

automod::dir!("tests/cpu");
