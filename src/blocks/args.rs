//! A block's arguments as JSON.

use serde_json::{Map, Value};

use crate::error::{Error, Result, unknown};
use crate::ops::{Activation, PyramidMode};

/// An object whose keys are the constructor's arguments.
pub(super) struct Args<'a> {
    block: &'a str,
    values: &'a Map<String, Value>,
}

impl<'a> Args<'a> {
    pub(super) fn new(block: &'a str, args: &'a Value) -> Result<Self> {
        let Some(values) = args.as_object() else {
            return Err(Error::param(block, "args", args, "must be a JSON object, such as {\"c1\": 64}"));
        };
        Ok(Self { block, values })
    }

    /// Errors: a key that is not one of these.
    pub(super) fn known(&self, keys: &[&str]) -> Result<()> {
        match self.values.keys().find(|key| !keys.contains(&key.as_str())) {
            Some(key) => Err(Error::param(self.block, "args", key, &unknown(key, keys))),
            None => Ok(()),
        }
    }

    /// An argument without a default.
    pub(super) fn need(&self, key: &'static str) -> Result<u32> {
        if self.values.contains_key(key) {
            return self.count(key, 0);
        }
        Err(Error::param(self.block, key, "nothing", "must be given"))
    }

    pub(super) fn count(&self, key: &'static str, default: u32) -> Result<u32> {
        self.get(key, default, "an integer from 0 to 4294967295", count)
    }

    pub(super) fn number(&self, key: &'static str, default: f64) -> Result<f64> {
        self.get(key, default, "a number", Value::as_f64)
    }

    pub(super) fn counts(&self, key: &'static str, default: Vec<u32>) -> Result<Vec<u32>> {
        self.get(key, default, "a list of integers", counts)
    }

    pub(super) fn three(&self, key: &'static str, default: [u32; 3]) -> Result<[u32; 3]> {
        self.get(key, default, "a list of three integers", |value| counts(value)?.try_into().ok())
    }

    pub(super) fn flag(&self, key: &'static str, default: bool) -> Result<bool> {
        self.get(key, default, "true or false", Value::as_bool)
    }

    /// Spelt as [`Activation`] reads it.
    pub(super) fn activation(&self, key: &'static str, default: Activation) -> Result<Activation> {
        match self.get(key, None, "text, such as \"leaky_relu(0.1)\"", |value| value.as_str().map(Some))? {
            Some(text) => Activation::parse(self.block, key, text),
            None => Ok(default),
        }
    }

    pub(super) fn mode(&self, default: PyramidMode) -> Result<PyramidMode> {
        self.get("mode", default, "'padded' or 'adaptive'", |value| match value.as_str()? {
            "padded" => Some(PyramidMode::Padded),
            "adaptive" => Some(PyramidMode::Adaptive),
            _ => None,
        })
    }

    fn get<T>(
        &self,
        key: &'static str,
        default: T,
        kind: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<T> {
        let Some(value) = self.values.get(key) else { return Ok(default) };
        read(value).ok_or_else(|| Error::param(self.block, key, value, &format!("must be {kind}")))
    }
}

fn counts(value: &Value) -> Option<Vec<u32>> {
    value.as_array()?.iter().map(count).collect()
}

fn count(value: &Value) -> Option<u32> {
    value.as_u64()?.try_into().ok()
}
