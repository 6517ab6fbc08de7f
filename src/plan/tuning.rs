//! Which convolution kernel was chosen, and which ones were fastest on one adapter.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::error::{Error, Result};

/// How a dispatch's convolution kernel was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// What is computed, as text: kernels, channels, pixels. Dispatches of one class take equally long.
    pub class: String,
    /// The kernels that can make it; the first is the table's.
    pub candidates: Vec<String>,
    /// The one that does.
    pub taken: String,
    /// Why.
    pub why: String,
}

/// The fastest kernel of each class of convolution, as measured on one adapter and driver; see
/// [`crate::bench::tune`]. What another adapter is told by it is no error: only kernels that it can run are taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tuning {
    /// `None`: the table's.
    fastest: BTreeMap<String, Option<String>>,
}

impl Tuning {
    /// The fastest of a class; `None` where the table's is, or nobody has measured it.
    pub fn get(&self, class: &str) -> Option<&str> {
        self.fastest.get(class)?.as_deref()
    }

    /// Sets the fastest of a class: one of [`Choice::candidates`].
    pub fn set(&mut self, class: impl Into<String>, kernel: impl Into<String>) {
        self.fastest.insert(class.into(), Some(kernel.into()));
    }

    /// Leaves a class to the table, whatever was known of it.
    pub fn leave(&mut self, class: impl Into<String>) {
        self.fastest.insert(class.into(), None);
    }

    /// Takes over what `other` knows, classes left to the table included.
    pub fn extend(&mut self, other: Self) {
        self.fastest.extend(other.fastest);
    }

    /// Each class and its fastest kernel, in order, but for classes left to the table.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fastest.iter().filter_map(|(class, kernel)| Some((class.as_str(), kernel.as_deref()?)))
    }

    /// An object: kernel by class, but for classes left to the table.
    pub fn json(&self) -> Value {
        self.iter().collect()
    }

    /// What [`Tuning::json`] wrote. Errors: anything but an object of texts.
    pub fn from_json(value: &Value) -> Result<Self> {
        let bad = || Error::data("tuning", "must be an object of texts");
        let text = |(class, kernel): (&String, &Value)| Some((class.clone(), Some(kernel.as_str()?.to_owned())));
        let fastest = value.as_object().ok_or_else(bad)?.iter().map(text).collect::<Option<_>>();
        fastest.map(|fastest| Self { fastest }).ok_or_else(bad)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_is_read_back_and_what_is_no_text_is_refused() {
        let mut tuning = Tuning::default();
        tuning.set("1x1x8 to 9x8", "conv_direct");
        tuning.set("b", "c");
        assert_eq!(Tuning::from_json(&tuning.json()).unwrap(), tuning);
        for bad in [json!([]), json!(null), json!({ "a": 1 })] {
            assert!(Tuning::from_json(&bad).is_err(), "{bad}");
        }
        let mut newer = Tuning::default();
        newer.set("b", "d");
        tuning.extend(newer);
        assert_eq!(tuning.iter().collect::<Vec<_>>(), [("1x1x8 to 9x8", "conv_direct"), ("b", "d")]);
    }

    #[test]
    fn what_the_table_won_this_time_is_forgotten() {
        let mut kept = Tuning::from_json(&json!({ "a": "conv_direct", "b": "conv_direct" })).unwrap();
        let mut newer = Tuning::default();
        newer.leave("a");
        newer.leave("c");
        kept.extend(newer);
        assert_eq!(["a", "b", "c"].map(|class| kept.get(class)), [None, Some("conv_direct"), None]);
        assert_eq!(kept.json(), json!({ "b": "conv_direct" }));
    }
}
