//! Tests on a GPU, one file per shader, operation and subject. `WGPU_ADAPTER_NAME` chooses the adapter; a missing one
//! is a failure. `SPP_IGNORE_GPU_TESTS=1 scripts/test` leaves this binary out and says so.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "../graphs.rs"]
mod graphs;

automod::dir!("tests/gpu");
