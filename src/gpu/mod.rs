//! A device and what is built on it: adapter, queue, limits, compiled kernels.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use wgpu::{
    Adapter, AdapterInfo, Buffer, CooperativeMatrixProperties, Device, DeviceType, ErrorFilter, Features, PollError,
    PollType, Queue, SubmissionIndex,
};

use crate::error::{Error, Result};
use crate::plan::{DeviceProfile, Matrices};

mod adapters;
mod constants;
mod exact;
mod kept;
mod kernel;
mod lost;
mod matrices;
mod pipelines;
mod program;
mod recommended;
mod self_test;
mod texture;
mod timing;
mod transfer;
mod trusted;

pub use adapters::{INSTALL_HINT, adapters, describe};
pub use constants::Usage;
pub use exact::{ExactGraph, Mismatch};
pub(crate) use kept::Kept;
pub use lost::Loss;
pub use matrices::{DENY_MATRICES, matrices_of};
pub use program::{Bindings, Bound, Input, Program};
pub use recommended::Recommended;
pub use self_test::SelfTest;

use constants::Constants;
use kernel::Kernel;
use pipelines::Pipelines;
pub use transfer::Reading;
pub(crate) use transfer::Staging;

/// Which device to open.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct GpuOptions {
    /// An index into [`adapters()`] or part of a name; `None`: `WGPU_ADAPTER_NAME`, else the most capable adapter.
    pub device: Option<String>,
    /// How long a run waits for the device, once its work is submitted, before [`Error::Timeout`]. It does not bound the
    /// submission itself, in which a driver may block: nothing can interrupt that, nor what the device already does.
    pub timeout: Duration,
    /// Compile kernels with the checks of indices, loops and divisors that wgpu adds: for debugging a kernel. Otherwise
    /// they run as they are written; `src/gpu/trusted.rs` says why they may.
    pub checked: bool,
    /// A folder for what the driver makes of kernels: read here, written by [`Gpu::save_pipelines`]. What is in it runs,
    /// so it must be as safe from others as the program itself.
    pub pipeline_cache: Option<PathBuf>,
    /// Let kernels multiply matrices of a whole subgroup, on tensor cores or their like, where the adapter has them, its
    /// driver is not on the list of those that get them wrong, to which the environment variable [`DENY_MATRICES`] adds,
    /// and [`Gpu::self_test`] passes: its result is kept for each adapter and driver in the user's cache folder.
    /// Otherwise, kernels do without, and [`Gpu::why_no_matrices`] says why. wgpu calls them experimental: they may have
    /// bugs that are undefined behaviour.
    pub matrices: bool,
    /// How many results of one program may be on their way to the host at once, each in a staging buffer of its own.
    /// Where there would be more, [`Program::run`] and [`Program::run_async`] wait, and [`Program::read`] and
    /// [`Program::time`] give `None`. At least 1; 3 unless set.
    pub frames: usize,
    /// Puts a debug group `spp/<node>` around each dispatch, so that a capture reads like the graph. Buffers, pipelines
    /// and bind groups are labelled in any case; wgpu hands none of this on where its instance has the flag
    /// `DISCARD_HAL_LABELS`.
    pub debug_groups: bool,
    /// The adapter that an app's own device is of, for [`GpuOptions::matrices`]: only it knows their sizes.
    pub adapter: Option<Adapter>,
}

impl Default for GpuOptions {
    fn default() -> Self {
        Self {
            device: None,
            timeout: Duration::from_secs(600),
            checked: false,
            pipeline_cache: None,
            matrices: false,
            frames: 3,
            debug_groups: false,
            adapter: None,
        }
    }
}

impl GpuOptions {
    /// The adapter with this index, or the first whose name contains this text.
    pub fn device(device: impl Into<String>) -> Self {
        Self { device: Some(device.into()), ..Self::default() }
    }
}

/// Why nobody is told of matrices.
const NOT_ASKED: &str = "they were not asked for";

/// What matrices a device has, or why it has none.
type Granted = Result<Matrices, String>;

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
    /// Why the profile has no matrices.
    why_no_matrices: Option<String>,
    timeout: Duration,
    checked: bool,
    frames: usize,
    debug_groups: bool,
    pipelines: Option<Pipelines>,
    loss: Loss,
    /// What the device is asked with whether it is lost.
    unwritable: Buffer,
    kernels: kernel::Kept<kernel::Key, Kernel>,
    constants: Mutex<Constants>,
}

impl Gpu {
    /// Opens a device of our own. Errors: no adapter fits; the driver refuses.
    pub fn new(options: &GpuOptions) -> Result<Self> {
        let adapter = adapters::choose(options.device.as_deref())?;
        let info = adapter.get_info();
        if info.device_type == DeviceType::Cpu {
            log::warn!("{} is a software adapter: correct, but slow", info.name);
        }
        let granted = if options.matrices { matrices::matrices_of(&adapter) } else { Err(NOT_ASKED.into()) };
        let mut gpu = Self::open(adapter.clone(), options, granted.clone());
        if let (Err(error), Ok(_)) = (&gpu, &granted) {
            gpu = Self::open(adapter.clone(), options, Err(error.to_string()));
        }
        let gpu = gpu?;
        match gpu.distrusted() {
            None => Ok(gpu),
            // Another device: a failed test may have cost this one.
            Some(reason) => Self::open(adapter, options, Err(reason)),
        }
    }

    /// A separate device on the same adapter, with cooperative matrices, whatever they compute; `None` if the adapter has
    /// none that kernels are written for or is denied them, or if the device is the app's.
    pub(crate) fn with_matrices(&self) -> Result<Option<(Self, Vec<CooperativeMatrixProperties>)>> {
        let Some(adapter) = &self.inner.adapter else {
            return Ok(None);
        };
        let Ok(granted) = matrices::matrices_of(adapter) else {
            return Ok(None);
        };
        let options = GpuOptions { timeout: self.inner.timeout, ..GpuOptions::default() };
        let shapes = adapter.cooperative_matrix_properties();
        Ok(Some((Self::open(adapter.clone(), &options, Ok(granted))?, shapes)))
    }

    /// A separate device on the same adapter, opened as this one was, that has compiled nothing; `None` if the device
    /// is the app's.
    pub(crate) fn reopen(&self) -> Result<Option<Self>> {
        let inner = &*self.inner;
        let Some(adapter) = &inner.adapter else {
            return Ok(None);
        };
        let &Inner { timeout, checked, frames, debug_groups, .. } = inner;
        let options = GpuOptions { timeout, checked, frames, debug_groups, ..GpuOptions::default() };
        let granted = inner.why_no_matrices.clone().map_or(Ok(inner.profile.matrices), Err);
        Self::open(adapter.clone(), &options, granted).map(Some)
    }

    fn open(adapter: Adapter, options: &GpuOptions, granted: Granted) -> Result<Self> {
        let info = adapter.get_info();
        let mut wanted = Recommended::of(&adapter, granted.clone().ok());
        if options.pipeline_cache.is_some() {
            wanted.features |= adapter.features() & Features::PIPELINE_CACHE;
        }
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("spp"),
            required_features: wanted.features,
            experimental_features: trusted::experimental(wanted.features),
            required_limits: wanted.limits,
            ..Default::default()
        };
        let opened = pollster::block_on(adapter.request_device(&descriptor));
        let (device, queue) = opened.map_err(|error| Error::NoAdapter {
            reason: format!("{} refuses a device: {error}", describe(&info)),
            found: Vec::new(),
        })?;
        let loss = Loss::of(&device);
        device.on_uncaptured_error(Arc::new(|error| log::error!("{error}")));
        Self::with_device(Some(adapter), info, (device, queue), options, loss, granted)
    }

    /// Uses the app's device. Its callbacks, its queue order and its polling stay the app's: its device-lost callback
    /// should have [`Gpu::loss`]. Any limits and features will do: what a graph then needs is checked when it is
    /// planned. [`Gpu::recommended`] has those that it is fastest with. Errors: a queue of another device, over which
    /// wgpu first panics, or calls that device's handler; a lost device.
    pub fn from_device(info: AdapterInfo, device: Device, queue: Queue) -> Result<Self> {
        Self::from_device_with_options(info, device, queue, &GpuOptions::default())
    }

    /// As [`Gpu::from_device`], with options: [`GpuOptions::device`] has no meaning here, and
    /// [`GpuOptions::pipeline_cache`] needs a device with the feature `PIPELINE_CACHE`. [`GpuOptions::matrices`] needs
    /// one with `EXPERIMENTAL_COOPERATIVE_MATRIX` and `SUBGROUP`, for `f16` with `SHADER_F16`, and
    /// [`GpuOptions::adapter`]; on a driver for the first time, it submits the self test to the queue and waits for it.
    pub fn from_device_with_options(
        info: AdapterInfo,
        device: Device,
        queue: Queue,
        options: &GpuOptions,
    ) -> Result<Self> {
        let granted = if options.matrices {
            matrices::matrices_on(&device, options.adapter.as_ref())
        } else {
            Err(NOT_ASKED.into())
        };
        let with = |granted| {
            Self::with_device(None, info.clone(), (device.clone(), queue.clone()), options, Loss::default(), granted)
        };
        let gpu = with(granted)?;
        gpu.distrusted().map_or(Ok(gpu), |reason| with(Err(reason)))
    }

    fn with_device(
        adapter: Option<Adapter>,
        info: AdapterInfo,
        (device, queue): (Device, Queue),
        options: &GpuOptions,
        loss: Loss,
        granted: Granted,
    ) -> Result<Self> {
        if options.frames == 0 {
            return Err(Error::param("GpuOptions", "frames", 0, "a result needs a buffer to arrive in; at least 1"));
        }
        let unwritable = lost::unwritable(&device)?;
        // Over another device's queue, wgpu panics or calls that device's handler: no scope of ours can hear of it.
        let takes_work = || lost::takes_work(&device, &queue, &unwritable);
        if !catch_unwind(AssertUnwindSafe(takes_work)).unwrap_or(false) {
            let reason = "it is another device's; give the queue that was made with the device";
            return Err(Error::data("queue", reason));
        }
        // Not `info` alone, which an app may have made up.
        let adapter_info = device.adapter_info();
        let matrices = granted.clone().ok();
        let profile = recommended::profile(&info, &adapter_info, device.features(), &device.limits(), matrices);
        let pipelines = match &options.pipeline_cache {
            Some(folder) => Pipelines::open(folder, &device)?,
            None => None,
        };
        if let (true, Err(reason)) = (options.matrices, &granted) {
            log::warn!("{}: no matrices: {reason}", describe(&info));
        }
        let &GpuOptions { timeout, checked, frames, debug_groups, .. } = options;
        let (why_no_matrices, kernels, constants) = (granted.err(), kernel::Kept::default(), Mutex::default());
        let inner = Inner {
            info,
            device,
            queue,
            profile,
            adapter,
            why_no_matrices,
            timeout,
            checked,
            frames,
            debug_groups,
            pipelines,
            loss,
            unwritable,
            kernels,
            constants,
        };
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

    /// Why kernels do without matrices; `None` where they may use them, which sizes [`Gpu::profile`] has.
    pub fn why_no_matrices(&self) -> Option<&str> {
        self.inner.why_no_matrices.as_deref()
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

    /// Runs the callbacks of finished work, and returns at once, whatever other threads do: this makes
    /// [`Program::run_async`] proceed if the app does not poll its device itself. Returns whether the queue is empty;
    /// another thread that found the last work done may still be handing over its results, so ask these for whether they
    /// are there. Errors: the device is lost.
    pub fn poll(&self) -> Result<bool> {
        self.poll_with(PollType::Poll)
    }

    pub(crate) fn wait(&self, submission: SubmissionIndex) -> Result<()> {
        let timeout = Some(self.inner.timeout);
        self.poll_with(PollType::Wait { submission_index: Some(submission), timeout }).map(|_| ())
    }

    /// wgpu 30 panics when a poll finds that the device was just lost, and when a wait times out at the very moment at
    /// which another thread finds the queue empty. In the second case the work is done, as another look shows.
    fn poll_with(&self, kind: PollType) -> Result<bool> {
        let poll = || catch_unwind(AssertUnwindSafe(|| self.inner.device.poll(kind.clone())));
        let mut polled = poll();
        self.alive()?;
        if polled.is_err() {
            polled = poll();
            self.alive()?;
        }
        match polled {
            Ok(Ok(status)) => Ok(status.is_queue_empty()),
            Ok(Err(PollError::Timeout)) => Err(Error::Timeout(self.inner.timeout)),
            Ok(Err(error)) => Err(Error::Gpu(error.to_string())),
            Err(_) => Err(Error::Gpu("it panicked while polling".into())),
        }
    }

    /// Runs wgpu calls with all their errors caught, and finds out if the device was lost before or in them.
    pub(crate) fn scoped<T>(&self, calls: impl FnOnce(&Device) -> T) -> Result<T> {
        self.inner.loss.known()?;
        let result = scoped(&self.inner.device, calls);
        self.alive()?;
        result
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
