//! `spp completions`: what a shell needs to complete our arguments.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::failure::Result;
use crate::output::say;

/// Print a script that completes spp's arguments
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: spp completions bash > ~/.local/share/bash-completion/completions/spp")]
pub(crate) struct Args {
    shell: Shell,
}

pub(crate) fn completions(args: &Args) -> Result<()> {
    // Into memory first: the generator panics where writing fails.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut crate::Cli::command(), "spp", &mut script);
    Ok(say(String::from_utf8_lossy(&script).trim_end())?)
}
