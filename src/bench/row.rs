//! One line of a benchmark: a case, its times, and how they compare with the device's roofline.

use serde_json::{Value, json};

use super::{Bound, MeasureOptions, Peaks, Samples, StepTime, measure};
use crate::error::Result;
use crate::gpu::Gpu;
use crate::graph::{Graph, GraphCost};
use crate::plan::{PlanOptions, Step};
use crate::tensor::{Precision, Tensor};

/// What a benchmark says about one graph on one device.
#[derive(Clone, Debug)]
pub struct Row {
    /// A name of `canonical.json`, or an operation.
    pub case: String,
    /// Images.
    pub batch: u32,
    /// What weights and intermediate tensors are stored in.
    pub precision: Precision,
    /// What inputs and outputs are stored in.
    pub ports: Precision,
    /// As [`device_names`].
    pub device: [String; 3],
    /// Dispatches, not counting the conversion of inputs and outputs.
    pub dispatches: usize,
    /// Bytes of all buffers of the plan.
    pub planned_bytes: u64,
    /// Work and least traffic.
    pub cost: GraphCost,
    /// [`Measurement::cold_ms`](super::Measurement::cold_ms).
    pub cold_ms: Option<f64>,
    /// [`Measurement::warm_ms`](super::Measurement::warm_ms).
    pub warm_ms: f64,
    /// Host tensor in to host tensor out.
    pub wall: Samples,
    /// First to last timestamp on the device, where it has any.
    pub gpu: Option<Samples>,
    /// The least time by the device's measured limits, milliseconds, and what binds; if they are known.
    pub floor: Option<(f64, Bound)>,
    /// What [`Plan::estimated_us`](crate::Plan::estimated_us) says of it, milliseconds; to be compared with `gpu`.
    pub estimated_ms: Option<f64>,
    /// Each dispatch, if the device has timestamps and [`MeasureOptions::steps`] asks for it.
    pub steps: Option<Vec<StepTime>>,
}

/// Column titles of [`Row::cells`]. Rates and roofline are by device time, or by wall time if there is none.
pub const COLUMNS: [&str; 18] = [
    "case",
    "batch",
    "dispatches",
    "cold ms",
    "warm ms",
    "wall min",
    "median",
    "p90",
    "p99 ms",
    "gpu min",
    "median",
    "p90",
    "p99 ms",
    "estimated ms",
    "GFLOP/s",
    "GB/s",
    "roofline %",
    "bound",
];

/// Adapter, backend and driver, as wgpu calls them.
pub fn device_names(gpu: &Gpu) -> [String; 3] {
    let info = gpu.info();
    let driver = format!("{} {}", info.driver, info.driver_info);
    [info.name.clone(), info.backend.to_string(), driver.trim().into()]
}

impl Row {
    /// Builds and measures `graph`. Errors as [`measure()`].
    pub fn measure(
        gpu: &Gpu,
        case: &str,
        graph: &Graph,
        inputs: &[Tensor],
        plan_options: &PlanOptions,
        options: &MeasureOptions,
        peaks: Option<&Peaks>,
    ) -> Result<Self> {
        let (program, measured) = measure(gpu, graph, inputs, plan_options, options)?;
        let (precision, ports) = (plan_options.precision, plan_options.ports);
        let cost = graph.cost().stored_in(precision, ports);
        Ok(Self {
            case: case.into(),
            batch: inputs.first().map_or(1, |input| input.shape().n),
            precision,
            ports,
            device: device_names(gpu),
            dispatches: program.plan().dispatches(),
            planned_bytes: program.plan().bytes(),
            cost,
            cold_ms: measured.cold_ms,
            warm_ms: measured.warm_ms,
            wall: measured.wall,
            gpu: measured.gpu,
            floor: peaks.map(|peaks| peaks.floor_of_graph(&cost, program.plan().steps.iter().any(Step::on_matrices))),
            estimated_ms: program.plan().estimated_us().map(|us| us / 1e3),
            steps: measured.steps,
        })
    }

    /// The time that rates are computed from: the device's median, or the wall's if the device has no clock.
    pub fn ms(&self) -> f64 {
        self.gpu.as_ref().unwrap_or(&self.wall).median()
    }

    /// 10⁹ floating-point operations per second.
    pub fn gflops(&self) -> f64 {
        self.cost.flops as f64 / self.ms() / 1e6
    }

    /// 10⁹ bytes per second, of the least traffic.
    pub fn gbps(&self) -> f64 {
        self.cost.min_bytes as f64 / self.ms() / 1e6
    }

    /// The floor as a share of the time taken, if the floor is known.
    pub fn roofline_percent(&self) -> Option<f64> {
        self.floor.map(|(floor, _)| 100.0 * floor / self.ms())
    }

    /// A row of a table under [`COLUMNS`].
    pub fn cells(&self) -> [String; 18] {
        let ms = |time: f64| match time {
            t if t < 1.0 => format!("{time:.4}"),
            t if t < 100.0 => format!("{time:.3}"),
            _ => format!("{time:.1}"),
        };
        let times = |samples: Option<&Samples>| match samples {
            Some(s) => [s.min(), s.median(), s.percentile(90.0), s.percentile(99.0)].map(ms),
            None => ["-", "no timestamps", "-", "-"].map(String::from),
        };
        let [wall_min, wall_median, wall_p90, wall_p99] = times(Some(&self.wall));
        let [gpu_min, gpu_median, gpu_p90, gpu_p99] = times(self.gpu.as_ref());
        [
            self.case.clone(),
            self.batch.to_string(),
            self.dispatches.to_string(),
            self.cold_ms.map_or("-".into(), ms),
            ms(self.warm_ms),
            wall_min,
            wall_median,
            wall_p90,
            wall_p99,
            gpu_min,
            gpu_median,
            gpu_p90,
            gpu_p99,
            self.estimated_ms.map_or("-".into(), ms),
            format!("{:.2}", self.gflops()),
            format!("{:.2}", self.gbps()),
            self.roofline_percent().map_or("-".into(), |percent| format!("{percent:.1}")),
            self.floor.map_or("-", |(_, bound)| bound.name()).into(),
        ]
    }

    /// An object with the documented keys.
    pub fn json(&self) -> Value {
        let times = |s: &Samples| {
            let [min, median] = [s.min(), s.median()];
            json!({"min": min, "median": median, "p90": s.percentile(90.0), "p99": s.percentile(99.0)})
        };
        let [adapter, backend, driver] = &self.device;
        json!({
            "case": self.case, "batch": self.batch, "precision": self.precision.to_string(),
            "ports": self.ports.to_string(), "adapter": adapter, "backend": backend,
            "driver": driver, "dispatches": self.dispatches, "flops": self.cost.flops, "bytes": self.cost.min_bytes,
            "cold_ms": self.cold_ms, "warm_ms": self.warm_ms, "wall_ms": times(&self.wall), "gpu_ms": self.gpu.as_ref().map(times),
            "estimated_ms": self.estimated_ms,
            "gflops": self.gflops(), "gbps": self.gbps(), "roofline_pct": self.roofline_percent(),
            "bound": self.floor.map(|(_, bound)| bound.name()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(gpu: Option<Samples>) -> Row {
        let cost = GraphCost { flops: 4_000_000, min_bytes: 2_000_000, ..GraphCost::default() };
        let device = ["adapter", "backend", "driver"].map(String::from);
        let wall = Samples::new(vec![4.0; 3]).unwrap();
        Row {
            case: "case".into(),
            batch: 1,
            precision: Precision::F32,
            ports: Precision::F32,
            device,
            dispatches: 3,
            planned_bytes: 0,
            cost,
            cold_ms: Some(5.0),
            warm_ms: 0.5,
            wall,
            gpu,
            floor: Some((1.0, Bound::Memory)),
            estimated_ms: Some(1.5),
            steps: None,
        }
    }

    #[test]
    fn rates_are_by_device_time_if_there_is_any() {
        let timed = row(Some(Samples::new(vec![2.0; 3]).unwrap()));
        assert_eq!((timed.gflops(), timed.gbps(), timed.roofline_percent()), (2.0, 1.0, Some(50.0)));
        let untimed = row(None);
        assert_eq!((untimed.gflops(), untimed.gbps(), untimed.roofline_percent()), (1.0, 0.5, Some(25.0)));
        assert_eq!(untimed.json()["gpu_ms"], Value::Null);
        assert_eq!(untimed.cells()[9..13], ["-", "no timestamps", "-", "-"]);
        assert_eq!(timed.json()["gpu_ms"]["p99"], 2.0);
        assert_eq!((timed.cells()[13].as_str(), &timed.json()["estimated_ms"]), ("1.500", &json!(1.5)));
        let first = (timed.cells()[3..5].join(" "), timed.json()["cold_ms"].clone(), timed.json()["warm_ms"].clone());
        assert_eq!(first, ("5.000 0.5000".into(), json!(5.0), json!(0.5)));
        let unknown = Row { estimated_ms: None, cold_ms: None, ..timed };
        assert_eq!((unknown.cells()[13].as_str(), &unknown.json()["estimated_ms"]), ("-", &Value::Null));
        assert_eq!((unknown.cells()[3].as_str(), &unknown.json()["cold_ms"]), ("-", &Value::Null));
    }
}
