//! From a step's WGSL to a compiled pipeline, and from its workgroups to a dispatch. Pipelines are kept by source text:
//! those of programs as long as these live, and some of the others.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::num::NonZero;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use wgpu::{BindGroupLayout, BindGroupLayoutEntry, BindingType, BufferBindingType, ComputePipeline, ShaderStages};

use super::program::second_layout;
use super::trusted::{self, Checks};
use super::{Gpu, texture, unpoisoned};
use crate::error::{Error, Result};
use crate::plan::{Binding, Step};

#[derive(Debug)]
pub(super) struct Kernel {
    pub(super) pipeline: ComputePipeline,
    pub(super) layout: BindGroupLayout,
}

/// All that a kernel is compiled from.
pub(super) type Key = (String, Checks);

/// Values that others own, and the last [`Shared::IDLE`] of those that nobody else owns any more: a program built again
/// for another input finds its kernels.
#[derive(Debug)]
pub(super) struct Shared<K, V> {
    /// With the time of the last use.
    kept: HashMap<K, (Arc<V>, u64)>,
    uses: u64,
    /// How many were given to keep.
    made: u64,
}

impl<K, V> Default for Shared<K, V> {
    fn default() -> Self {
        Self { kept: HashMap::new(), uses: 0, made: 0 }
    }
}

impl<K: Eq + Hash, V> Shared<K, V> {
    /// All blocks for maps of any size need fewer than half of these together, on any device.
    const IDLE: usize = 128;

    fn get(&mut self, key: &K) -> Option<Arc<V>> {
        self.uses += 1;
        let (value, used) = self.kept.get_mut(key)?;
        *used = self.uses;
        Some(Arc::clone(value))
    }

    /// Keeps `value`, or returns the one that another thread has kept meanwhile. Drops the idle ones that were not used
    /// for longest.
    fn keep(&mut self, key: K, value: Arc<V>) -> Arc<V> {
        self.made += 1;
        if let Some(there) = self.get(&key) {
            return there;
        }
        self.kept.insert(key, (Arc::clone(&value), self.uses));
        let idle = |value: &Arc<V>| Arc::strong_count(value) == 1;
        let mut times: Vec<u64> = self.kept.values().filter(|(value, _)| idle(value)).map(|(_, used)| *used).collect();
        if let Some(surplus) = times.len().checked_sub(Self::IDLE + 1) {
            let (_, &mut last, _) = times.select_nth_unstable(surplus);
            self.kept.retain(|_, (value, used)| *used > last || !idle(value));
        }
        value
    }
}

/// A cache that threads share. Only one thread at a time makes a value, and others wait for it.
#[derive(Debug)]
pub(super) struct Kept<K, V> {
    shared: Mutex<Shared<K, V>>,
    /// Held, each, by the thread that makes this value.
    making: Mutex<HashMap<K, Arc<Mutex<()>>>>,
}

impl<K, V> Default for Kept<K, V> {
    fn default() -> Self {
        Self { shared: Mutex::default(), making: Mutex::default() }
    }
}

impl<K: Clone + Eq + Hash, V> Kept<K, V> {
    /// How many were made.
    pub(super) fn made(&self) -> u64 {
        unpoisoned(&self.shared).made
    }

    fn get(&self, key: &K) -> Option<Arc<V>> {
        unpoisoned(&self.shared).get(key)
    }

    /// What is kept, or else what `make` or another thread that is making it gives.
    fn get_or_make(&self, key: &K, make: impl FnOnce() -> Result<V>) -> Result<Arc<V>> {
        if let Some(value) = self.get(key) {
            return Ok(value);
        }
        let lock = Arc::clone(unpoisoned(&self.making).entry(key.clone()).or_default());
        let alone = unpoisoned(&lock);
        let made = match self.get(key) {
            Some(value) => Ok(value),
            None => make().map(|value| unpoisoned(&self.shared).keep(key.clone(), Arc::new(value))),
        };
        unpoisoned(&self.making).remove(key);
        drop(alone);
        made
    }
}

impl Gpu {
    /// The kernel of each step, and what `meanwhile` gives: it runs on this thread, which then helps those that
    /// compile, one for each other processor. Errors: that of the first step whose kernel does not compile.
    pub(super) fn kernels<T>(
        &self,
        steps: &[Step],
        checks: Checks,
        meanwhile: impl FnOnce() -> T,
    ) -> (Result<Vec<Arc<Kernel>>>, T) {
        let keys: Vec<Key> = steps.iter().map(|step| (step.source(), checks)).collect();
        let mut seen = HashSet::new();
        let first = |i: &usize| seen.insert(&keys[*i]) && self.inner.kernels.get(&keys[*i]).is_none();
        let missing: Vec<usize> = (0..keys.len()).filter(first).collect();
        let next = AtomicUsize::new(0);
        let work = || {
            // What is made is held on to until all is: what is idle may be dropped.
            let mut made = Vec::new();
            while let Some(&i) = missing.get(next.fetch_add(1, Ordering::Relaxed)) {
                made.push(self.kernel(&keys[i], &steps[i]));
            }
            made
        };
        let threads = thread::available_parallelism().map_or(1, NonZero::get).min(missing.len());
        let (made, meanwhile) = thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
            let meanwhile = meanwhile();
            let mut made = work();
            made.extend(others.into_iter().flat_map(|other| other.join().unwrap_or_else(|panic| resume_unwind(panic))));
            (made, meanwhile)
        });
        let kernels = keys.iter().zip(steps).map(|(key, step)| self.kernel(key, step)).collect();
        drop(made);
        (kernels, meanwhile)
    }

    fn kernel(&self, key: &Key, step: &Step) -> Result<Arc<Kernel>> {
        self.inner.kernels.get_or_make(key, || self.compile(step, &key.0, key.1))
    }

    fn compile(&self, step: &Step, source: &str, checks: Checks) -> Result<Kernel> {
        let label = format!("spp/{}", step.shader.stem);
        let storage = step.bindings.iter().map(|binding| entry(binding.slot, kind(binding)));
        let params = entry(step.shader.params_binding, buffer(BufferBindingType::Uniform));
        let entries: Vec<BindGroupLayoutEntry> = storage.chain([params]).collect();
        let built = self.scoped(|device| {
            let module = trusted::shader_module(device, &label, source, checks);
            let layout = device
                .create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: Some(&label), entries: &entries });
            let second = second_layout(device, step);
            let groups: Vec<_> = [Some(&layout)].into_iter().chain(second.as_ref().map(Some)).collect();
            let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                label: Some(&label),
                bind_group_layouts: &groups,
                immediate_size: 0,
            });
            let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some(&label),
                layout: Some(&pipeline_layout),
                module: &module,
                entry_point: None,
                compilation_options: wgpu::PipelineCompilationOptions {
                    // No kernel reads what it did not write (tests/gpu/workgroup_memory.rs), and zeroing keeps DX12's FXC
                    // busy: it unrolls it, 40 s for a cascade that takes it 0.2 s without.
                    zero_initialize_workgroup_memory: false,
                    ..Default::default()
                },
                cache: self.inner.pipelines.as_ref().map(|pipelines| &pipelines.cache),
            });
            Kernel { pipeline, layout }
        });
        built.map_err(|error| match error {
            Error::Gpu(message) => Error::Shader { name: step.shader.stem.into(), message },
            other => other,
        })
    }
}

fn kind(binding: &Binding) -> BindingType {
    match binding.texels {
        Some(texels) => texture::binding_type(texels, binding.written),
        None => buffer(BufferBindingType::Storage { read_only: !binding.written }),
    }
}

const fn buffer(ty: BufferBindingType) -> BindingType {
    BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None }
}

const fn entry(binding: u32, ty: BindingType) -> BindGroupLayoutEntry {
    BindGroupLayoutEntry { binding, visibility: ShaderStages::COMPUTE, ty, count: None }
}

/// Workgroups along x and y: one row if it fits, else rows of equal length. The last may run past the end; kernels
/// check for it.
pub(super) fn folded(workgroups: u64, max: u32) -> [u32; 2] {
    let rows = workgroups.div_ceil(u64::from(max)).max(1);
    [workgroups.div_ceil(rows) as u32, rows as u32]
}

#[cfg(test)]
mod tests {
    use std::sync::Weak;
    use std::time::Duration;

    use super::*;

    type Numbers = Shared<usize, usize>;

    fn keep(kept: &mut Numbers, i: usize) -> Arc<usize> {
        kept.keep(i, Arc::new(i))
    }

    #[test]
    fn what_is_in_use_stays_and_so_does_the_last_of_the_rest() {
        let mut kept = Numbers::default();
        let in_use: Vec<_> = (0..300).map(|i| keep(&mut kept, i)).collect();
        assert_eq!(kept.kept.len(), 300, "nothing in use is dropped");
        let idle = 1000..2000;
        let dropped: Vec<Weak<usize>> = idle.clone().map(|i| Arc::downgrade(&keep(&mut kept, i))).collect();
        assert_eq!(kept.kept.len(), 300 + Numbers::IDLE + 1, "the last was in use when it was kept");
        assert!(dropped[..1000 - Numbers::IDLE - 1].iter().all(|value| value.strong_count() == 0), "they are freed");
        assert!(idle.rev().take(Numbers::IDLE).all(|i| kept.get(&i).is_some()));
        assert!((0..300).all(|i| kept.get(&i).is_some_and(|value| Arc::ptr_eq(&value, &in_use[i]))));
        // Once nobody uses them, they are as idle as the others.
        drop(in_use);
        keep(&mut kept, 2000);
        assert_eq!(kept.kept.len(), Numbers::IDLE + 1);
    }

    #[test]
    fn what_is_used_again_is_not_the_first_to_go() {
        let mut kept = Numbers::default();
        for i in 0..10 * Numbers::IDLE {
            keep(&mut kept, 2 * i + 1);
            assert!(kept.get(&1).is_some());
        }
    }

    #[test]
    fn threads_that_want_the_same_make_it_once() {
        let kept = Kept::<usize, usize>::default();
        let made = [const { AtomicUsize::new(0) }; 10];
        let make = |i: usize| {
            made[i].fetch_add(1, Ordering::Relaxed);
            thread::sleep(Duration::from_millis(2));
            Ok(i)
        };
        thread::scope(|scope| {
            for first in 0..8 {
                let (kept, make) = (&kept, &make);
                scope.spawn(move || {
                    for i in (0..10).map(|i| (i + first / 2) % 10) {
                        assert_eq!(*kept.get_or_make(&i, || make(i)).unwrap(), i);
                    }
                });
            }
        });
        assert_eq!(made.map(AtomicUsize::into_inner), [1; 10]);
        // What fails is tried again, and nothing is left of either.
        let fails = || Err(Error::Gpu("no".into()));
        assert!(kept.get_or_make(&11, fails).is_err() && kept.get_or_make(&11, fails).is_err());
        assert_eq!(*kept.get_or_make(&11, || Ok(11)).unwrap(), 11);
        assert!(unpoisoned(&kept.making).is_empty());
    }

    #[test]
    fn the_first_of_two_that_are_made_at_once_is_kept() {
        let mut kept = Numbers::default();
        let [first, second] = [1, 1].map(|i| keep(&mut kept, i));
        assert!(Arc::ptr_eq(&first, &second));
    }

    #[test]
    fn dispatches_over_the_limit_fold_into_rows() {
        assert_eq!(folded(0, 65_535), [0, 1]);
        assert_eq!(folded(65_535, 65_535), [65_535, 1]);
        assert_eq!(folded(65_536, 65_535), [32_768, 2]);
        assert_eq!(folded(7, 3), [3, 3]);
        let [x, y] = folded(65_535 * 65_535, 65_535);
        assert_eq!([x, y], [65_535, 65_535]);
    }
}
