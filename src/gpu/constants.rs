//! Weights, biases and tables on the device: packed and uploaded once for all programs that need the same, and gone
//! with the last of them.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Weak};

use wgpu::Buffer;

use super::program::create;
use super::{Gpu, unpoisoned};
use crate::error::Result;
use crate::plan::Content;

/// A buffer and what is in it. It keeps the weights that this is made of, so that no others can be taken for them.
#[derive(Debug)]
pub(super) struct Uploaded {
    pub(super) buffer: Buffer,
    content: Content,
}

/// What is on the device, by the hash of its content. Two contents of one hash would share nothing.
#[derive(Debug, Default)]
pub(super) struct Constants {
    kept: HashMap<u64, Weak<Uploaded>>,
    uploads: u64,
}

impl Constants {
    fn get(&self, hash: u64, bytes: u64, content: &Content) -> Option<Arc<Uploaded>> {
        let fits = |uploaded: &Arc<Uploaded>| uploaded.buffer.size() >= bytes && uploaded.content == *content;
        self.kept.get(&hash)?.upgrade().filter(fits)
    }

    /// Keeps `uploaded`, or returns the one that another thread has kept meanwhile. Drops what nobody has any more.
    fn keep(&mut self, hash: u64, uploaded: Arc<Uploaded>) -> Arc<Uploaded> {
        self.uploads += 1;
        if let Some(there) = self.get(hash, uploaded.buffer.size(), &uploaded.content) {
            return there;
        }
        self.kept.retain(|_, kept| kept.strong_count() > 0);
        self.kept.insert(hash, Arc::downgrade(&uploaded));
        uploaded
    }
}

/// What the living programs of a device share, and how often that had to be made: see [`Gpu::usage`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// Buffers of weights, biases and tables that living programs use.
    pub constants: u64,
    /// Their bytes.
    pub constant_bytes: u64,
    /// How many such buffers were packed and uploaded since the device was opened.
    pub uploads: u64,
    /// How many kernels were compiled since then.
    pub compiled: u64,
}

impl Gpu {
    /// What the programs of this device and of its clones share: those of [`Program::new`](super::Program::new),
    /// [`with_options`](super::Program::with_options), [`resized`](super::Program::resized) and
    /// [`rebuild`](super::Program::rebuild). A plan's own constants, of [`from_plan`](super::Program::from_plan), are
    /// its program's alone.
    pub fn usage(&self) -> Usage {
        let compiled = self.inner.kernels.made();
        let constants = unpoisoned(&self.inner.constants);
        let living: Vec<_> = constants.kept.values().filter_map(Weak::upgrade).collect();
        let constant_bytes = living.iter().map(|uploaded| uploaded.buffer.size()).sum();
        Usage { constants: living.len() as u64, constant_bytes, uploads: constants.uploads, compiled }
    }

    /// The buffer of `bytes` that holds `content`: one that is there, or a new one.
    pub(super) fn constant(&self, label: &str, bytes: u64, content: &Content) -> Result<Arc<Uploaded>> {
        let mut state = DefaultHasher::new();
        content.hash(&mut state);
        let hash = state.finish();
        if let Some(uploaded) = unpoisoned(&self.inner.constants).get(hash, bytes, content) {
            return Ok(uploaded);
        }
        let words = content.words();
        debug_assert_eq!(size_of_val(&words[..]) as u64, bytes, "the length of {label}");
        let buffer = create(self, label, bytes)?;
        self.scoped(|_| self.queue().write_buffer(&buffer, 0, bytemuck::cast_slice(&words)))?;
        let uploaded = Arc::new(Uploaded { buffer, content: content.clone() });
        Ok(unpoisoned(&self.inner.constants).keep(hash, uploaded))
    }
}
