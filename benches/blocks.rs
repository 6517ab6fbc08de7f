//! Every block at its published shape: `cargo bench --bench blocks [-- NAME PART…]`.

use std::process::ExitCode;

use spp_wgpu::bench::{COLUMNS, Row};
use spp_wgpu::case::canonical;
use spp_wgpu::{Gpu, GpuOptions, Result, gpu};

fn main() -> ExitCode {
    match run(&filters()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Arguments that are not options: cargo adds `--bench`.
fn filters() -> Vec<String> {
    std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect()
}

fn run(filters: &[String]) -> Result<()> {
    let gpu = Gpu::new(&GpuOptions::default())?;
    let (plan_options, options) = Default::default();
    println!("{}\n{}", gpu::describe(gpu.info()), COLUMNS.join("\t"));
    for row in canonical()? {
        if filters.is_empty() || filters.iter().any(|part| row.name.contains(part)) {
            let (graph, input) = (row.graph(0)?, row.input(0)?);
            let measured =
                Row::measure(&gpu, &row.name, &graph, std::slice::from_ref(&input), &plan_options, &options, None)?;
            println!("{}", measured.cells().join("\t"));
        }
    }
    Ok(())
}
