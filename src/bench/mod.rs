//! Measuring: run times and their statistics, a device's own limits, and how far from them a computation is.

mod measure;
mod peak;
mod roofline;
mod row;
mod stats;
mod tune;

pub use measure::{MeasureOptions, Measurement, StepTime, measure, step_medians};
pub use peak::{measure_peaks, peak_plans, peaks};
pub use roofline::{Bound, Peaks};
pub use row::{COLUMNS, Row, device_names};
pub use stats::{SIGNIFICANCE, Samples, Verdict, rank_test};
pub use tune::{keep_tuning, kept_tuning, tune};
