//! The one error type: what went wrong, at which operation and node, with both sides of the mismatch and a remedy.

use std::path::PathBuf;

use crate::tensor::Shape;

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong, found before anything is allocated where that is possible.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A parameter of an operation or a block has a value that has no meaning.
    #[error("{op}: {param} = {value}: {reason}")]
    InvalidParam {
        /// Operation or block, with the node's name where it has one: `conv 'cv2'`.
        op: String,
        /// The parameter, as the public field is spelt.
        param: &'static str,
        /// The value that was given.
        value: String,
        /// What is allowed, or what to use instead.
        reason: String,
    },
    /// Shapes that do not fit together; the text names both, and the nodes they come from.
    #[error("{op}: {detail}")]
    ShapeMismatch {
        /// Operation with the node's name.
        op: String,
        /// Both shapes, and where they come from.
        detail: String,
    },
    /// The operation would produce no value.
    #[error(
        "{op}: the output of {input} would be {out_h}x{out_w}: the window ({window}) is larger than the padded input"
    )]
    EmptyOutput {
        /// Operation with the node's name.
        op: String,
        /// The input's shape.
        input: Shape,
        /// The window's extent, dilation included.
        window: String,
        /// Computed height; zero or below means nothing fits.
        out_h: i64,
        /// Computed width.
        out_w: i64,
    },
    /// A count or an index beyond what the shaders' 32-bit indices hold.
    #[error("{op}: {what} is {value}, over {max}, the most that 32-bit indices hold; split the work")]
    TooLarge {
        /// Operation with the node's name.
        op: String,
        /// What is counted.
        what: &'static str,
        /// The count.
        value: u64,
        /// The largest count allowed.
        max: u64,
    },
    /// The adapter allows less than this plan needs.
    #[error("{what} needs {needed}, but {limit} is {available} on this device; {hint}")]
    LimitExceeded {
        /// The tensor or buffer.
        what: String,
        /// The limit, as wgpu spells it.
        limit: &'static str,
        /// Bytes (or units of the limit) needed.
        needed: u64,
        /// What the device allows.
        available: u64,
        /// What to do.
        hint: &'static str,
    },
    /// The plan's memory is over the caller's budget; nothing was allocated.
    #[error(
        "the plan needs {planned} bytes of GPU memory, over the budget of {max} bytes (max_bytes); use a smaller batch or input, or raise the budget"
    )]
    MemoryBudget {
        /// Bytes the plan would allocate.
        planned: u64,
        /// The budget.
        max: u64,
    },
    /// More memory of the host than the caller's budget allows; nothing of it was allocated.
    #[error(
        "{what} needs {needed} bytes of host memory, over the budget of {max} bytes (max_host_bytes); use fewer channels or a smaller input, or raise the budget"
    )]
    HostMemory {
        /// What would be allocated.
        what: String,
        /// Its bytes.
        needed: u64,
        /// The budget.
        max: u64,
    },
    /// The graph itself is unsound: a foreign handle, no output, a name used twice, too many nodes.
    #[error("graph: {0}")]
    Graph(String),
    /// Weights that are missing, unexpected or of the wrong shape: all of them at once.
    #[error("weights{}: {}", at(.prefix), problems([&norms(.missing), .unexpected, .misshapen, .nearest]))]
    Weights {
        /// The scope that was loaded, such as `model.9.`; empty for the whole file.
        prefix: String,
        /// Keys the block needs and the file lacks.
        missing: Vec<String>,
        /// Keys in the scope that the block does not use.
        unexpected: Vec<String>,
        /// Keys with the wrong shape or type: a sentence each.
        misshapen: Vec<String>,
        /// If nothing that the block needs is there: the keys of the file most like what is missing; or a sentence, if just
        /// one other prefix has the whole block.
        nearest: Vec<String>,
    },
    /// A model with operators, or attributes of them, that are not supported: all of them at once.
    #[error("the model does not load: {} {} not supported:\n  {}\nTo compute what comes before them, name its tensors: Options::outputs, --stop-at", .problems.len(), if .problems.len() == 1 { "node is" } else { "nodes are" }, .problems.join("\n  "))]
    Model {
        /// A sentence each: the operator, the node's name, and what of it.
        problems: Vec<String>,
    },
    /// A file that cannot be read, written or understood.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Data whose size does not match its shape, or bytes that are not a safetensors file.
    #[error("{what}: {reason}")]
    InvalidData {
        /// The tensor or container.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Not supported here: never a silent approximation.
    #[error("{op}: {what} is not supported: {hint}")]
    Unsupported {
        /// Operation, block or feature.
        op: String,
        /// What was asked for.
        what: String,
        /// What to do instead.
        hint: String,
    },
    /// No adapter fits what was asked for.
    #[error("no usable GPU: {reason}{}", listed(.found))]
    NoAdapter {
        /// What was asked for and why nothing fits.
        reason: String,
        /// Adapters that are present.
        found: Vec<String>,
    },
    /// The device is gone: open another [`Gpu`](crate::Gpu), and [`Program::rebuild`](crate::Program::rebuild) on it.
    #[error("the GPU device is lost: {0}; open another Gpu and rebuild the programs")]
    DeviceLost(String),
    /// The device has no memory left for a buffer.
    #[error("out of GPU memory: {0}")]
    OutOfMemory(String),
    /// A shader did not compile; the driver's text is included.
    #[error("shader '{name}': {message}")]
    Shader {
        /// The shader's stem.
        name: String,
        /// The compiler's message.
        message: String,
    },
    /// The device did not finish in time.
    #[error("the GPU did not finish within {0:?}; the work may still complete")]
    Timeout(std::time::Duration),
    /// wgpu refused a call.
    #[error("wgpu: {0}")]
    Gpu(String),
}

impl Error {
    pub(crate) fn param(op: impl Into<String>, param: &'static str, value: impl ToString, reason: &str) -> Self {
        Self::InvalidParam { op: op.into(), param, value: value.to_string(), reason: reason.into() }
    }

    /// Whether something is too large, so that it may do to plan in another way.
    pub(crate) const fn is_limit(&self) -> bool {
        matches!(
            self,
            Self::TooLarge { .. } | Self::LimitExceeded { .. } | Self::MemoryBudget { .. } | Self::HostMemory { .. }
        )
    }

    pub(crate) fn mismatch(op: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::ShapeMismatch { op: op.into(), detail: detail.into() }
    }

    pub(crate) fn data(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::InvalidData { what: what.into(), reason: reason.into() }
    }
}

fn at(prefix: &str) -> String {
    if prefix.is_empty() { String::new() } else { format!(" under '{prefix}'") }
}

fn problems(lists: [&[String]; 4]) -> String {
    let parts = ["missing", "unexpected", "wrong", "nothing fits; the nearest keys"].into_iter().zip(lists);
    parts
        .filter(|(_, keys)| !keys.is_empty())
        .map(|(what, keys)| format!("{what}: {}", some(keys)))
        .collect::<Vec<_>>()
        .join("; ")
}

/// Missing keys, with one entry for all four of a normalisation.
fn norms(keys: &[String]) -> Vec<String> {
    let layer = |key: &str| {
        let (layer, _) = key.rsplit_once('.')?;
        let parts = ["weight", "bias", "running_mean", "running_var"].map(|part| format!("{layer}.{part}"));
        let whole = parts.iter().all(|part| keys.binary_search(part).is_ok());
        whole.then(|| format!("{layer}.* (or a bias of its convolution)"))
    };
    let mut listed: Vec<String> = keys.iter().map(|key| layer(key).unwrap_or_else(|| key.clone())).collect();
    listed.dedup();
    listed
}

/// A whole model's keys would bury the message.
fn some(keys: &[String]) -> String {
    const MOST: usize = 20;
    let more = keys.len().saturating_sub(MOST);
    let text = keys[..keys.len() - more].join(", ");
    if more == 0 { text } else { format!("{text} and {more} more") }
}

fn listed(found: &[String]) -> String {
    if found.is_empty() { String::new() } else { format!("; adapters found: {}", found.join(", ")) }
}

/// Why a name is refused, with the nearest of those that would do, if it may have been meant.
pub(crate) fn unknown(name: &str, known: &[&str]) -> String {
    let far = |other: &str| distance(&name.to_lowercase(), &other.to_lowercase());
    let nearest = known.iter().map(|other| (far(other), other)).min_by_key(|(distance, _)| *distance);
    let meant = nearest.filter(|(distance, _)| 3 * distance <= name.chars().count());
    let meant = meant.map_or_else(|| ".".into(), |(_, nearest)| format!("; did you mean '{nearest}'?"));
    let listed = known[..known.len().min(MAX_LISTED)].join(", ");
    let others = known.len().saturating_sub(MAX_LISTED);
    let others = if others == 0 { String::new() } else { format!(", and {others} others") };
    format!("is unknown{meant} Known: {listed}{others}")
}

/// The most names that an error lists.
const MAX_LISTED: usize = 64;

/// Levenshtein's: insertions, deletions and replacements that turn `a` into `b`.
pub(crate) fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, to) in b.chars().enumerate() {
            let replaced = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.chars().count()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_suggested_if_it_may_have_been_meant() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        let known = ["spp", "sppf", "aspp", "sppcspc", "pyramid_pool"];
        let rows = [("spff", "sppf"), ("SPP", "spp"), ("spcspc", "sppcspc"), ("piramyd_pool", "pyramid_pool")];
        for (name, meant) in rows {
            assert!(unknown(name, &known).contains(&format!("did you mean '{meant}'?")), "{}", unknown(name, &known));
        }
        for name in ["resnet50", "x", "", "pool", "日本語"] {
            assert_eq!(unknown(name, &known), "is unknown. Known: spp, sppf, aspp, sppcspc, pyramid_pool");
        }
    }

    #[test]
    fn long_lists_of_keys_are_cut() {
        let keys: Vec<String> = (0..300).map(|i| format!("k{i}")).collect();
        assert!(some(&keys[..20]).ends_with("k18, k19"));
        assert!(some(&keys).ends_with("k18, k19 and 280 more"));
    }
}
