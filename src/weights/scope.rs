//! Part of a file, as one block sees it: hands out tensors and remembers everything that is wrong.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use super::random::Random;
use super::{Entry, Stored, Weights, len, nearest, refusal, without_wrappers};
use crate::error::{Error, Result, distance};
use crate::ops::{Given, Weight};
use crate::tensor::{MAX_ELEMENTS, MAX_HOST_BYTES, Shape};

/// The tensors under a prefix. A key that is missing or misshapen is noted, and zeros (ones for variances) stand in for
/// it, so that building goes on; [`Scope::finish`] then reports all such keys at once.
#[derive(Debug)]
pub struct Scope<'a> {
    weights: &'a Weights,
    /// Of the scope that this one is part of.
    root: String,
    /// Whether keys of the file begin with `root` as they stand; if none does, wrappers are overlooked.
    as_it_stands: bool,
    prefix: String,
    name: String,
    log: Rc<RefCell<Log>>,
}

/// The keys of a batch normalisation.
pub(crate) const BATCH_NORM: [&str; 4] = ["weight", "bias", "running_mean", "running_var"];

/// Shared with sub-scopes, hence whole keys.
#[derive(Debug, Default)]
struct Log {
    /// As they stand in the file.
    found: BTreeSet<String>,
    ignored: Vec<String>,
    /// With the dimensions they should have.
    missing: BTreeMap<String, Vec<u32>>,
    misshapen: BTreeMap<String, String>,
    /// Bytes of values that are in no file.
    made_up: u64,
}

impl Log {
    /// Counts values that are in no file. Errors: more than [`MAX_HOST_BYTES`] of them.
    fn make_up(&mut self, key: &str, len: u64) -> Result<()> {
        self.made_up += len * size_of::<f32>() as u64;
        let (needed, max) = (self.made_up, MAX_HOST_BYTES);
        if needed > max {
            let what = format!("making up weights that no file has, '{key}' among them,");
            return Err(Error::HostMemory { what, needed, max });
        }
        Ok(())
    }
}

/// What [`Weights::seeded`] has drawn, for all that share it.
pub(super) struct Drawn {
    pub(super) seed: u64,
    values: Mutex<HashMap<(String, u64, Draw), Arc<Stored>>>,
}

impl Drawn {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, values: Mutex::default() }
    }

    fn values(&self, key: &str, len: u64, draw: Draw) -> Arc<Stored> {
        let mut values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        let drawn = values.entry((key.into(), len, draw)).or_insert_with(|| {
            let mut random = Random::new(self.seed, key);
            Arc::new(Stored::F32((0..len).map(|_| draw.next(&mut random)).collect()))
        });
        Arc::clone(drawn)
    }
}

/// What [`Weights::seeded`] draws.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Draw {
    /// Mean 0 and the standard deviation of these bits.
    Normal(u64),
    /// In `0.5..1.5`.
    NearOne,
}

impl<'a> Scope<'a> {
    pub(super) fn new(weights: &'a Weights, prefix: &str) -> Self {
        let prefix = dotted(prefix);
        let as_it_stands = prefix.is_empty() || weights.entries.keys().any(|key| key.starts_with(&prefix));
        Self { weights, root: prefix.clone(), as_it_stands, name: prefix.clone(), prefix, log: Rc::default() }
    }

    /// What is under `prefix` here: `scope("extras.0").sub("branch0.1")` is `extras.0.branch0.1`. Problems are noted
    /// in the scope it comes from.
    pub fn sub(&self, prefix: &str) -> Self {
        let below = |parent: &str| format!("{parent}{}", dotted(prefix));
        let (prefix, name) = (below(&self.prefix), below(&self.name));
        Self { weights: self.weights, root: self.root.clone(), prefix, name, log: Rc::clone(&self.log), ..*self }
    }

    /// Nodes are named after their keys; `named("neck")` calls them `neck.cv1.conv` instead, `named("")` just
    /// `cv1.conv`. Two blocks of one graph that share their weights need it.
    pub fn named(self, name: &str) -> Self {
        Self { name: dotted(name), ..self }
    }

    /// The node's name for a layer.
    pub fn path(&self, layer: &str) -> String {
        format!("{}{layer}", self.name)
    }

    /// Whether a file has this key.
    pub fn contains(&self, key: &str) -> bool {
        !self.find(&self.key(key)).is_empty()
    }

    /// Keys of this layer may be present and stay unused.
    pub fn ignore(&self, layer: &str) {
        self.log.borrow_mut().ignored.push(self.key(layer));
    }

    /// `{layer}.weight` of a convolution `[out, in / groups, kernel_h, kernel_w]`. Errors: more elements than 32-bit
    /// indices hold, an extent of 0, more than [`MAX_HOST_BYTES`] of weights that are seeded or stand in for others.
    pub fn conv_weight(&self, layer: &str, shape: Shape) -> Result<Weight> {
        self.weight(layer, &[shape.n, shape.c, shape.h, shape.w])
    }

    /// `{layer}.weight` of a linear layer, `[out, in]` in the file, `[out, in, 1, 1]` here. Errors as for convolutions.
    pub fn linear_weight(&self, layer: &str, out: u32, features: u32) -> Result<Weight> {
        self.weight(layer, &[out, features])
    }

    /// `{layer}.bias` of a convolution or a linear layer. Errors as for weights.
    pub fn bias(&self, layer: &str, len: u32) -> Result<Vec<f32>> {
        Ok(self.values(&format!("{layer}.bias"), &[len], Draw::normal(0.1))?.to_vec())
    }

    /// `weight`, `bias`, `running_mean` and `running_var` of a batch normalisation. Errors as for weights.
    pub fn batch_norm(&self, layer: &str, channels: u32) -> Result<[Vec<f32>; 4]> {
        let [gamma, beta, mean, var] = BATCH_NORM.map(|key| format!("{layer}.{key}"));
        let values = |key: &str, draw| Ok(self.values(key, &[channels], draw)?.to_vec());
        Ok([
            values(&gamma, Draw::NearOne)?,
            values(&beta, Draw::normal(0.2))?,
            values(&mean, Draw::normal(0.2))?,
            values(&var, Draw::NearOne)?,
        ])
    }

    /// Call this once everything has been asked for. Errors: [`Error::Weights`] with every key under this prefix that
    /// is missing, misshapen, or was never asked for; `num_batches_tracked` of normalisations is unused, but no error.
    pub fn finish(&self) -> Result<()> {
        let log = self.log.borrow();
        let is_of = |key: &str, layer: &str| {
            let rest = without_wrappers(key);
            let rest = rest.strip_prefix(&without_wrappers(layer));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let used = |key: &String| {
            let unneeded = key.ends_with(".num_batches_tracked") || log.ignored.iter().any(|layer| is_of(key, layer));
            unneeded || log.found.contains(key)
        };
        let here = |key: &String| self.below(key);
        let lacking: BTreeMap<_, _> = log.missing.iter().filter_map(|(key, dims)| Some((here(key)?, dims))).collect();
        let missing: Vec<String> = lacking.keys().cloned().collect();
        let unexpected: Vec<_> = self.weights.entries.keys().filter(|key| !used(key)).filter_map(here).collect();
        let misshapen = log.misshapen.iter().filter_map(|(key, problem)| Some(format!("{} {problem}", here(key)?)));
        let misshapen: Vec<_> = misshapen.collect();
        if missing.is_empty() && unexpected.is_empty() && misshapen.is_empty() {
            return Ok(());
        }
        let nothing_fits = !log.found.iter().any(|key| here(key).is_some());
        let nearest = match self.elsewhere(&lacking) {
            _ if !nothing_fits => Vec::new(),
            None => self.nearest(&missing),
            Some("") => vec!["the whole block, without a prefix".into()],
            Some(prefix) => vec![format!("the whole block under '{prefix}': scope(\"{prefix}\"), --prefix {prefix}")],
        };
        Err(Error::Weights { prefix: self.prefix.clone(), missing, unexpected, misshapen, nearest })
    }

    /// The one prefix of the file under which all that is missing has the right shape, and nothing else is. There may be a
    /// bias in the place of a normalisation.
    fn elsewhere(&self, lacking: &BTreeMap<String, &Vec<u32>>) -> Option<&str> {
        let of_norm = |key: &str| {
            let (layer, _) = key.rsplit_once('.').unwrap_or_default();
            lacking.contains_key(&format!("{layer}.running_mean"))
        };
        let entries = &self.weights.entries;
        let fits = |prefix: &&str| {
            let mut all = lacking.iter();
            let present = all.all(|(key, dims)| match entries.get(&format!("{prefix}{key}")) {
                Some(entry) => entry.dims.iter().map(|&dim| dim as u64).eq(dims.iter().map(|&dim| u64::from(dim))),
                None => of_norm(key),
            });
            let mut below = entries.keys().filter_map(|key| key.strip_prefix(prefix));
            present
                && below.all(|key| {
                    let unneeded = key.ends_with(".num_batches_tracked") || key.ends_with(".bias");
                    unneeded || lacking.contains_key(key)
                })
        };
        let first = lacking.keys().find(|key| !of_norm(key))?;
        let prefixes = entries.keys().filter_map(|key| key.strip_suffix(first.as_str()));
        let mut fitting = prefixes.filter(|prefix| prefix.is_empty() || prefix.ends_with('.')).filter(fits);
        let only = fitting.next().filter(|_| fitting.next().is_none());
        only.map(|prefix| prefix.trim_end_matches('.'))
    }

    /// Keys of the file that end as the first missing one that any does, those first under whose prefix the most others are, too;
    /// else those spelt most like it.
    fn nearest(&self, missing: &[String]) -> Vec<String> {
        let somewhere = |end: &&String| self.weights.entries.keys().any(|key| key.ends_with(end.as_str()));
        let Some(first) = missing.iter().find(somewhere).or(missing.first()) else { return Vec::new() };
        let whole = self.key(first);
        nearest(self.weights.entries.keys(), |key| {
            let prefix = key.strip_suffix(first.as_str()).filter(|prefix| prefix.is_empty() || prefix.ends_with('.'));
            let has = |other: &&String| {
                prefix.is_some_and(|prefix| self.weights.entries.contains_key(&format!("{prefix}{other}")))
            };
            (std::cmp::Reverse(missing.iter().filter(has).count()), distance(key, &whole))
        })
    }

    /// What follows this scope's prefix in a key, if that is one of its keys.
    fn below(&self, key: &str) -> Option<String> {
        if !self.counts(key) {
            return None;
        }
        let rest = key.strip_prefix(&self.prefix).map(String::from);
        rest.or_else(|| Some(without_wrappers(key).strip_prefix(&without_wrappers(&self.prefix))?.into()))
    }

    /// Whether a key of the file is under the prefix that the user gave.
    fn counts(&self, key: &str) -> bool {
        let bare = |text: &str| without_wrappers(text);
        if self.as_it_stands { key.starts_with(&self.root) } else { bare(key).starts_with(&bare(&self.root)) }
    }

    fn find(&self, whole: &str) -> Vec<(&'a str, &'a Entry)> {
        self.weights.find(whole, |key| self.counts(key))
    }

    /// Notes what is wrong with a key.
    pub(crate) fn problem(&self, key: &str, problem: impl Into<String>) {
        self.log.borrow_mut().misshapen.insert(self.key(key), problem.into());
    }

    fn weight(&self, layer: &str, dims: &[u32]) -> Result<Weight> {
        let fan_in = dims[1..].iter().map(|&dim| f64::from(dim)).product::<f64>();
        let values = self.values(&format!("{layer}.weight"), dims, Draw::normal((2.0 / fan_in).sqrt()))?;
        let extent = |i: usize| dims.get(i).copied().unwrap_or(1);
        Weight::made(Shape::new(dims[0], dims[1], extent(2), extent(3)), Given(values))
    }

    fn values(&self, key: &str, dims: &[u32], draw: Draw) -> Result<Arc<Stored>> {
        let whole = self.key(key);
        let Some(len) = len(dims).filter(|&len| len <= MAX_ELEMENTS) else {
            let value = len(dims).unwrap_or(u64::MAX);
            return Err(Error::TooLarge { op: whole, what: "the element count", value, max: MAX_ELEMENTS });
        };
        let log = &mut *self.log.borrow_mut();
        if let Some(drawn) = &self.weights.seed {
            log.make_up(&whole, len)?;
            return Ok(drawn.values(&whole, len, draw));
        }
        let found = self.find(&whole);
        log.found.extend(found.iter().map(|(key, _)| key.to_string()));
        match found[..] {
            [] => {
                log.missing.insert(whole.clone(), dims.to_vec());
            }
            [(_, entry)] if !entry.dims.iter().map(|&dim| dim as u64).eq(dims.iter().map(|&dim| u64::from(dim))) => {
                log.misshapen.insert(whole.clone(), format!("is {:?} but {dims:?} is needed", entry.dims));
            }
            [(_, entry)] if entry.is_converted() => return Ok(Arc::clone(&entry.values)),
            [(_, entry)] => {
                log.misshapen.insert(whole.clone(), refusal(entry.dtype));
            }
            [(a, _), (b, _), ..] => {
                log.misshapen.insert(whole.clone(), format!("may be '{a}' or '{b}'"));
            }
        }
        log.make_up(&whole, len)?;
        Ok(Arc::new(Stored::F32(vec![draw.stand_in(); len as usize])))
    }

    fn key(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }
}

impl Draw {
    const fn normal(deviation: f64) -> Self {
        Self::Normal(deviation.to_bits())
    }

    fn next(self, random: &mut Random) -> f32 {
        match self {
            Self::Normal(deviation) => (f64::from_bits(deviation) * random.normal()) as f32,
            Self::NearOne => (0.5 + random.uniform()) as f32,
        }
    }

    const fn stand_in(self) -> f32 {
        match self {
            Self::Normal(_) => 0.0,
            Self::NearOne => 1.0,
        }
    }
}

fn dotted(prefix: &str) -> String {
    if prefix.is_empty() || prefix.ends_with('.') { prefix.into() } else { format!("{prefix}.") }
}
