//! What a NAME or a CASE stands for: a row of `canonical.json`, a case file, or an ONNX file.

use std::path::Path;

use spp_wgpu::case::{Canonical, Case, canonical_row};
use spp_wgpu::onnx::Model;
use spp_wgpu::{Error, Graph, Tensor};

use crate::source::{self, Reading};

/// For weights and inputs that no file gives.
pub(crate) const SEED: u64 = 0;

#[derive(Debug)]
pub(crate) enum Subject {
    Canonical(Canonical),
    File(String, Case),
    Model(String, Box<Model>),
}

/// The blocks that are whole networks.
const NETS: [&str; 2] = ["sppnet", "rfbnet"];

impl Subject {
    /// Whether it is a whole network.
    pub(crate) fn is_net(&self) -> bool {
        match self {
            Self::Canonical(row) => NETS.contains(&row.block.as_str()),
            Self::File(_, case) => NETS.contains(&case.block.as_str()),
            Self::Model(..) => true,
        }
    }

    /// Errors: neither a row (the nearest is suggested) nor a sound case file or model.
    pub(crate) fn find(text: &str, reading: &Reading) -> Result<Self, Error> {
        let path = Path::new(text);
        let name = || path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if reading.is_given() && !source::is_onnx(path) {
            let reason = "is no ONNX file, which --size, --images-per-run and --stop-at are for".into();
            return Err(Error::InvalidData { what: text.into(), reason });
        }
        match canonical_row(text) {
            Ok(row) => Ok(Self::Canonical(row)),
            Err(unknown) if path.components().count() == 1 && path.extension().is_none() && !path.exists() => {
                Err(unknown)
            }
            Err(_) if source::is_onnx(path) => {
                Ok(Self::Model(name(), Box::new(Model::load(path, &reading.options()?)?)))
            }
            Err(_) => Ok(Self::File(name(), Case::open(path)?)),
        }
    }

    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Canonical(row) => &row.name,
            Self::File(name, _) | Self::Model(name, _) => name,
        }
    }

    pub(crate) fn batch(&self) -> u32 {
        match self {
            Self::Canonical(row) => row.shape.n,
            Self::File(_, case) => case.input.shape().n,
            Self::Model(_, model) => model.graph.inputs().next().map_or(1, |(_, node)| node.shape.n),
        }
    }

    pub(crate) fn graph(&self) -> Result<Graph, Error> {
        match self {
            Self::Canonical(row) => row.graph(SEED),
            Self::File(_, case) => case.graph(),
            Self::Model(_, model) => Ok(model.graph.clone()),
        }
    }

    pub(crate) fn inputs(&self) -> Result<Vec<Tensor>, Error> {
        match self {
            Self::Canonical(row) => row.input(SEED).map(|input| vec![input]),
            Self::File(_, case) => Ok(vec![case.input.clone()]),
            Self::Model(_, model) => model.random_inputs(SEED),
        }
    }
}
