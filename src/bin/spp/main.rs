//! `spp`, the command line: results on stdout, progress and notes on stderr, and an exit code that says how it went.

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod baseline;
mod bench;
mod check;
mod compare;
mod completions;
mod demo;
mod detect;
mod device;
mod devices;
mod digits;
mod failure;
mod family;
mod graph;
mod labels;
mod model;
mod network;
mod output;
mod paint;
mod peak;
mod picture;
mod planning;
mod plot;
mod profile;
mod report;
mod run;
mod segment;
mod source;
mod stress;
mod subject;
mod verify;

use failure::{Failure, Result};

/// Spatial pyramid pooling networks on any GPU, checked against a CPU reference.
///
/// Exit codes: 0 ok, 1 a check failed, 2 wrong usage or a bad file, 3 no usable GPU.
#[derive(Debug, Parser)]
#[command(name = "spp", version, after_help = "Example: spp demo")]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Adapter by index or part of its name; `cpu` is the CPU reference [default: WGPU_ADAPTER_NAME, else the best]
    #[arg(long, global = true, value_name = "DEVICE", display_order = 100)]
    device: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Args),
    Verify(verify::Args),
    Run(run::Args),
    Model(model::Args),
    Detect(detect::Args),
    Segment(segment::Args),
    Bench(bench::Args),
    Compare(compare::Args),
    Profile(profile::Args),
    Peak(peak::Args),
    Devices(devices::Args),
    Graph(graph::Args),
    Completions(completions::Args),
}

fn main() -> ExitCode {
    // What wgpu and the Vulkan loader log comes back to us as errors, too; RUST_LOG=warn shows it all.
    let filter = env_logger::Env::default().default_filter_or("off,spp_wgpu=warn");
    let format = |out: &mut env_logger::fmt::Formatter, record: &log::Record| {
        writeln!(out, "{}: {}", record.level().as_str().to_lowercase(), record.args())
    };
    env_logger::Builder::from_env(filter).format(format).init();
    // Windows shells leave `cases\*` to the program.
    match dispatch(Cli::parse_from(wild::args_os())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn dispatch(Cli { command, device }: Cli) -> Result<()> {
    let device = device.as_deref();
    match command {
        Command::Demo(args) => demo::demo(&args, device),
        Command::Verify(args) => verify::verify(&args, device),
        Command::Run(args) => run::run(&args, device),
        Command::Detect(args) => detect::detect(&args, device),
        Command::Segment(args) => segment::segment(&args, device),
        Command::Bench(args) => bench::bench(&args, device),
        Command::Compare(args) => compare::compare(&args, device),
        Command::Profile(args) => profile::profile(&args, device),
        Command::Peak(args) => peak::peak(&args, device),
        Command::Graph(args) => graph::graph(&args, device),
        Command::Devices(_) | Command::Completions(_) | Command::Model(_) if device.is_some() => {
            Err(Failure::Usage("--device chooses where to run, and this runs nothing".into()))
        }
        Command::Model(args) => model::model(&args),
        Command::Devices(args) => devices::devices(&args),
        Command::Completions(args) => completions::completions(&args),
    }
}
