//! Why the program ends early, and with which exit code.

use std::io;
use std::process::ExitCode;

use spp_wgpu::Error;

use crate::output::note;

pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// A check failed; what was printed says which.
    #[error("a check failed")]
    Check,
    /// Arguments that clap finds nothing wrong with.
    #[error("{0}")]
    Usage(String),
    #[error(transparent)]
    Library(#[from] Error),
    #[error("standard output: {0}")]
    Stdout(#[from] io::Error),
}

impl Failure {
    /// Tells the user, and yields the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        let code = match self {
            Self::Check => 1,
            // Whoever read our output has seen enough.
            Self::Stdout(error) if error.kind() == io::ErrorKind::BrokenPipe => return ExitCode::SUCCESS,
            Self::Library(
                Error::NoAdapter { .. }
                | Error::DeviceLost(_)
                | Error::OutOfMemory(_)
                | Error::Shader { .. }
                | Error::Timeout(_)
                | Error::Gpu(_),
            ) => 3,
            Self::Usage(_) | Self::Library(_) | Self::Stdout(_) => 2,
        };
        note(format!("error: {self}"));
        ExitCode::from(code)
    }
}
