//! A device and what is built on it: adapter, queue, limits, compiled kernels.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use wgpu::{
    Adapter, AdapterInfo, CooperativeMatrixProperties, Device, DeviceType, ErrorFilter, Features, Limits, PollError,
    PollType, Queue, SubmissionIndex,
};

use crate::error::{Error, Result};
use crate::plan::{DeviceClass, DeviceProfile};

mod adapters;
mod kernel;
mod pipelines;
mod program;
mod timing;
mod transfer;
mod trusted;

pub use adapters::{INSTALL_HINT, adapters, describe};
pub use program::{Bindings, Program};

use kernel::Kernel;
use pipelines::Pipelines;
pub(crate) use transfer::Staging;
use trusted::Checks;

/// Which device to open.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct GpuOptions {
    /// An index into [`adapters()`] or part of a name; `None`: `WGPU_ADAPTER_NAME`, else the most capable adapter.
    pub device: Option<String>,
    /// How long a run may take before [`Error::Timeout`].
    pub timeout: Duration,
    /// Compile kernels with the checks of indices, loops and divisors that wgpu adds: for debugging a kernel. Otherwise
    /// they run as they are written; `src/gpu/trusted.rs` says why they may.
    pub checked: bool,
    /// A folder for what the driver makes of kernels: read here, written by [`Gpu::save_pipelines`]. What is in it runs,
    /// so it must be as safe from others as the program itself.
    pub pipeline_cache: Option<PathBuf>,
}

impl Default for GpuOptions {
    fn default() -> Self {
        Self { device: None, timeout: Duration::from_secs(600), checked: false, pipeline_cache: None }
    }
}

impl GpuOptions {
    /// The adapter with this index, or the first whose name contains this text.
    pub fn device(device: impl Into<String>) -> Self {
        Self { device: Some(device.into()), ..Self::default() }
    }
}

/// What a device of our own has if its adapter does; nothing depends on these.
const FEATURES: Features = Features::TIMESTAMP_QUERY.union(Features::SHADER_F16).union(Features::SUBGROUP);

/// One of wgpu's experimental features.
const MATRICES: Features = Features::EXPERIMENTAL_COOPERATIVE_MATRIX;

/// An open device. Clones share it.
#[derive(Clone, Debug)]
pub struct Gpu {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    info: AdapterInfo,
    device: Device,
    queue: Queue,
    profile: DeviceProfile,
    /// What a device of our own was made from.
    adapter: Option<Adapter>,
    timeout: Duration,
    checked: bool,
    pipelines: Option<Pipelines>,
    /// wgpu 30 may panic when two threads wait on one device.
    polling: Mutex<()>,
    /// Why the device was lost, once it was.
    lost: Arc<Mutex<Option<String>>>,
    kernels: Mutex<HashMap<(String, Checks), Arc<Kernel>>>,
}

impl Gpu {
    /// Opens a device of our own. Errors: no adapter fits; the driver refuses.
    pub fn new(options: &GpuOptions) -> Result<Self> {
        let adapter = adapters::choose(options.device.as_deref())?;
        let info = adapter.get_info();
        if info.device_type == DeviceType::Cpu {
            log::warn!("{} is a software adapter: correct, but slow", info.name);
        }
        let kept = if options.pipeline_cache.is_some() { Features::PIPELINE_CACHE } else { Features::empty() };
        Self::open(adapter, options, FEATURES | kept)
    }

    /// A separate device on the same adapter, with cooperative matrices; `None` if the adapter has none, or if the
    /// device is the app's. It is experimental: no part of it may leave this crate.
    pub(crate) fn with_matrices(&self) -> Result<Option<(Self, Vec<CooperativeMatrixProperties>)>> {
        let has = |adapter: &&Adapter| adapter.features().contains(MATRICES);
        let Some(adapter) = self.inner.adapter.as_ref().filter(has) else {
            return Ok(None);
        };
        let shapes = adapter.cooperative_matrix_properties();
        let options = GpuOptions { timeout: self.inner.timeout, ..GpuOptions::default() };
        Ok(Some((Self::open(adapter.clone(), &options, FEATURES | MATRICES)?, shapes)))
    }

    fn open(adapter: Adapter, options: &GpuOptions, wanted: Features) -> Result<Self> {
        let (info, most) = (adapter.get_info(), adapter.limits());
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("spp"),
            required_features: adapter.features() & wanted,
            experimental_features: trusted::experimental(wanted),
            required_limits: Limits {
                max_storage_buffer_binding_size: most.max_storage_buffer_binding_size,
                max_buffer_size: most.max_buffer_size,
                ..Limits::defaults()
            },
            ..Default::default()
        };
        let opened = pollster::block_on(adapter.request_device(&descriptor));
        let (device, queue) = opened.map_err(|error| Error::NoAdapter {
            reason: format!("{} refuses a device: {error}", describe(&info)),
            found: Vec::new(),
        })?;
        let lost = Arc::new(Mutex::new(None));
        let reason = Arc::clone(&lost);
        device.set_device_lost_callback(move |_, message| *unpoisoned(&reason) = Some(message));
        device.on_uncaptured_error(Arc::new(|error| log::error!("{error}")));
        Self::with_device(Some(adapter), info, device, queue, options, lost)
    }

    /// Uses the app's device. Its callbacks, its queue order and its polling stay the app's. No features are needed;
    /// limits must reach [`Gpu::required_limits`]. Errors: [`Error::LimitExceeded`] with the limit that is too low.
    pub fn from_device(info: AdapterInfo, device: Device, queue: Queue) -> Result<Self> {
        Self::from_device_with_options(info, device, queue, &GpuOptions::default())
    }

    /// As [`Gpu::from_device`], with options: [`GpuOptions::device`] has no meaning here, and
    /// [`GpuOptions::pipeline_cache`] needs a device with the feature `PIPELINE_CACHE`.
    pub fn from_device_with_options(
        info: AdapterInfo,
        device: Device,
        queue: Queue,
        options: &GpuOptions,
    ) -> Result<Self> {
        Self::with_device(None, info, device, queue, options, Arc::default())
    }

    /// What a device must offer: wgpu's defaults. A higher `max_storage_buffer_binding_size` and `max_buffer_size`
    /// allow larger tensors.
    pub fn required_limits() -> Limits {
        Limits::defaults()
    }

    fn with_device(
        adapter: Option<Adapter>,
        info: AdapterInfo,
        device: Device,
        queue: Queue,
        options: &GpuOptions,
        lost: Arc<Mutex<Option<String>>>,
    ) -> Result<Self> {
        let has = device.limits();
        let needs = Self::required_limits();
        let limits = [
            (
                "max_storage_buffers_per_shader_stage",
                needs.max_storage_buffers_per_shader_stage,
                has.max_storage_buffers_per_shader_stage,
            ),
            (
                "max_compute_invocations_per_workgroup",
                needs.max_compute_invocations_per_workgroup,
                has.max_compute_invocations_per_workgroup,
            ),
            ("max_compute_workgroup_size_x", needs.max_compute_workgroup_size_x, has.max_compute_workgroup_size_x),
            (
                "max_compute_workgroup_storage_size",
                needs.max_compute_workgroup_storage_size,
                has.max_compute_workgroup_storage_size,
            ),
            (
                "max_compute_workgroups_per_dimension",
                needs.max_compute_workgroups_per_dimension,
                has.max_compute_workgroups_per_dimension,
            ),
        ];
        for (limit, needed, available) in limits {
            if available < needed {
                return Err(Error::LimitExceeded {
                    what: "the device".into(),
                    limit,
                    needed: needed.into(),
                    available: available.into(),
                    hint: "request the device with Gpu::required_limits()",
                });
            }
        }
        let class = match info.device_type {
            DeviceType::DiscreteGpu => DeviceClass::Discrete,
            DeviceType::Cpu => DeviceClass::Software,
            _ => DeviceClass::Integrated,
        };
        // Not `info`, which an app may have made up: unchecked kernels rely on the number of lanes.
        let lanes = device.adapter_info();
        let profile = DeviceProfile {
            class,
            // So that no index of a kernel exceeds 32 bits.
            max_binding: has.max_storage_buffer_binding_size.min(u32::MAX.into()),
            max_buffer: has.max_buffer_size,
            max_workgroups: has.max_compute_workgroups_per_dimension,
            max_invocations: has.max_compute_invocations_per_workgroup,
            workgroup_memory: has.max_compute_workgroup_storage_size,
            max_storage_buffers: has.max_storage_buffers_per_shader_stage,
            subgroup_size: (device.features().contains(Features::SUBGROUP)
                && lanes.subgroup_min_size == lanes.subgroup_max_size)
                .then_some(lanes.subgroup_min_size),
            max_iterations: class.max_iterations(),
        };
        let pipelines = match &options.pipeline_cache {
            Some(folder) => Pipelines::open(folder, &device)?,
            None => None,
        };
        let &GpuOptions { timeout, checked, .. } = options;
        let (polling, kernels) = Default::default();
        let inner =
            Inner { info, device, queue, profile, adapter, timeout, checked, pipelines, polling, lost, kernels };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The adapter behind the device.
    pub fn info(&self) -> &AdapterInfo {
        &self.inner.info
    }

    /// What the planner must know.
    pub fn profile(&self) -> &DeviceProfile {
        &self.inner.profile
    }

    /// The device, to make buffers and encoders with.
    pub fn device(&self) -> &Device {
        &self.inner.device
    }

    /// The queue, to submit with.
    pub fn queue(&self) -> &Queue {
        &self.inner.queue
    }

    /// Features the device was opened with.
    pub fn features(&self) -> Features {
        self.inner.device.features()
    }

    /// Runs the callbacks of finished work, without waiting: this makes [`Program::run_async`] proceed if the app does
    /// not poll its device itself. Returns whether the queue is empty. Errors: the device is lost.
    pub fn poll(&self) -> Result<bool> {
        self.poll_with(PollType::Poll)
    }

    pub(crate) fn wait(&self, submission: SubmissionIndex) -> Result<()> {
        let timeout = Some(self.inner.timeout);
        self.poll_with(PollType::Wait { submission_index: Some(submission), timeout }).map(|_| ())
    }

    /// One poll at a time; a panic of wgpu in it (it panics when the device is lost) becomes an error.
    fn poll_with(&self, kind: PollType) -> Result<bool> {
        let guard = unpoisoned(&self.inner.polling);
        let polled = catch_unwind(AssertUnwindSafe(|| self.inner.device.poll(kind)));
        drop(guard);
        match polled {
            Ok(Ok(status)) => self.alive().map(|()| status.is_queue_empty()),
            Ok(Err(PollError::Timeout)) => Err(Error::Timeout(self.inner.timeout)),
            // A lost device accepts no work, so there is no submission to wait for.
            Ok(Err(error @ PollError::WrongSubmissionIndex(..))) => Err(self.mark_lost(&error.to_string())),
            Err(_) => Err(self.mark_lost("wgpu panicked while polling")),
        }
    }

    /// Errors if the device was lost.
    fn alive(&self) -> Result<()> {
        match unpoisoned(&self.inner.lost).clone() {
            Some(reason) => Err(Error::DeviceLost(reason)),
            None => Ok(()),
        }
    }

    fn mark_lost(&self, reason: &str) -> Error {
        let mut lost = unpoisoned(&self.inner.lost);
        Error::DeviceLost(lost.get_or_insert_with(|| reason.into()).clone())
    }

    /// Runs wgpu calls with all their errors caught.
    pub(crate) fn scoped<T>(&self, calls: impl FnOnce(&Device) -> T) -> Result<T> {
        self.alive()?;
        scoped(&self.inner.device, calls)
    }
}

fn scoped<T>(device: &Device, calls: impl FnOnce(&Device) -> T) -> Result<T> {
    let filters = [ErrorFilter::OutOfMemory, ErrorFilter::Internal, ErrorFilter::Validation];
    let scopes = filters.map(|filter| device.push_error_scope(filter));
    let result = calls(device);
    let mut first = None;
    for scope in scopes.into_iter().rev() {
        let caught = pollster::block_on(scope.pop());
        first = first.or(caught);
    }
    match first {
        None => Ok(result),
        Some(wgpu::Error::OutOfMemory { source }) => Err(Error::OutOfMemory(source.to_string())),
        Some(error) => Err(Error::Gpu(error.to_string())),
    }
}

/// A lock whose holder panicked still guards sound data here: every critical section is a single assignment or call.
fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
