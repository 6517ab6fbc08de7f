//! Tests on a GPU, one file per shader, operation and subject. `WGPU_ADAPTER_NAME` chooses the adapter; a missing one
//! is a failure. `SPP_IGNORE_GPU_TESTS=1 scripts/test` leaves this binary out and says so.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "../fuzz.rs"]
mod fuzz;
#[path = "../graphs.rs"]
mod graphs;
mod harness;

mod add;
mod affine_activation;
mod avg_pool;
mod blocks;
mod changed_plans;
mod concat;
mod constant;
mod controls;
mod conv;
mod conv_choice;
mod conv_depthwise;
mod conv_direct;
mod conv_grouped;
mod conv_matrices;
mod conv_shift_add;
mod conv_subgroup;
mod conv_sum;
mod elementwise;
mod frames;
mod fuzz_graphs;
mod gather;
mod global_pool;
mod layout;
mod limits;
mod linear;
mod long_work;
mod map;
mod matmul;
mod matrices;
mod max_pool;
mod max_pool_cascade;
mod max_pool_cascade_strip;
mod narrow;
#[cfg(feature = "onnx")]
mod onnx;
mod padding_lanes;
mod paint;
mod passes;
mod peak;
mod ports;
mod precision;
mod pyramid_pool;
mod rearrange;
mod reduce;
mod resample;
mod reshape;
mod resize;
mod resized;
mod runs;
mod softmax;
mod split_sums;
mod texture;
mod top_k;
mod trusted;
mod workgroup_memory;
