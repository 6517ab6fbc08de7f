//! What a NAME or a CASE stands for: a row of `canonical.json`, or a case file.

use std::path::Path;

use spp_wgpu::case::{Canonical, Case, canonical_row};
use spp_wgpu::{Error, Graph, Tensor};

/// For weights and inputs that no file gives.
pub(crate) const SEED: u64 = 0;

#[derive(Debug)]
pub(crate) enum Subject {
    Canonical(Canonical),
    File(String, Case),
}

/// The blocks that are whole networks.
const NETS: [&str; 2] = ["sppnet", "rfbnet"];

impl Subject {
    /// Whether it is a whole network.
    pub(crate) fn is_net(&self) -> bool {
        let block = match self {
            Self::Canonical(row) => &row.block,
            Self::File(_, case) => &case.block,
        };
        NETS.contains(&block.as_str())
    }

    /// Errors: neither a row (the nearest is suggested) nor a sound case file.
    pub(crate) fn find(text: &str) -> Result<Self, Error> {
        let path = Path::new(text);
        match canonical_row(text) {
            Ok(row) => Ok(Self::Canonical(row)),
            Err(unknown) if path.components().count() == 1 && path.extension().is_none() && !path.exists() => {
                Err(unknown)
            }
            Err(_) => {
                let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                Ok(Self::File(name, Case::open(path)?))
            }
        }
    }

    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Canonical(row) => &row.name,
            Self::File(name, _) => name,
        }
    }

    pub(crate) fn batch(&self) -> u32 {
        match self {
            Self::Canonical(row) => row.shape.n,
            Self::File(_, case) => case.input.shape().n,
        }
    }

    pub(crate) fn graph(&self) -> Result<Graph, Error> {
        match self {
            Self::Canonical(row) => row.graph(SEED),
            Self::File(_, case) => case.graph(),
        }
    }

    pub(crate) fn input(&self) -> Result<Tensor, Error> {
        match self {
            Self::Canonical(row) => row.input(SEED),
            Self::File(_, case) => Ok(case.input.clone()),
        }
    }
}
