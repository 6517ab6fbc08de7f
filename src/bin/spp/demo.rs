//! `spp demo`: what the project does, on this machine, in half a minute.

use serde_json::{Value, json};
use spp_wgpu::case::Canonical;
use spp_wgpu::gpu::{INSTALL_HINT, adapters};
use spp_wgpu::reference::Reference;
use spp_wgpu::{Error, Gpu, PlanOptions, Shape};

use crate::check::{self, Outcome};
use crate::device::Device;
use crate::digits::{Digits, Reading, SIZES};
use crate::failure::{Failure, Result};
use crate::family::family;
use crate::output::{note, progress, say, say_json, say_table};
use crate::subject::SEED;

/// Read handwritten digits at five sizes with one network, and check every block against the CPU reference
///
/// If there is no adapter at all, the CPU reference reads the digits.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: spp demo --device 0")]
pub(crate) struct Args {
    /// Print a JSON array
    #[arg(long)]
    json: bool,
}

/// A block of the family: input, outputs, and how they compare with the reference's.
#[derive(Debug)]
struct Block {
    row: Canonical,
    outputs: Vec<Shape>,
    outcome: Outcome,
}

pub(crate) fn demo(args: &Args, device: Option<&str>) -> Result<()> {
    let device = if device.is_none() && adapters().is_empty() {
        note(format!("no GPU adapter: the CPU reference reads the digits; {INSTALL_HINT}"));
        Device::Reference
    } else {
        Device::open(device)?
    };
    let digits = Digits::open()?;
    let family = if matches!(device, Device::Gpu(_)) { Vec::from(family()) } else { Vec::new() };
    let bar = progress(SIZES.len() + family.len());
    let mut readings = Vec::new();
    for size in SIZES {
        bar.set_message(format!("digits at {}x{}", size[0], size[1]));
        readings.push(digits.read(&device, size)?);
        bar.inc(1);
    }
    if !args.json {
        bar.suspend(|| say_digits(&digits, &readings, &device))?;
    }
    let mut blocks = Vec::new();
    if let Device::Gpu(gpu) = &device {
        for row in family {
            bar.set_message(row.block.clone());
            blocks.push(check_block(gpu, row)?);
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    if args.json {
        let rows = readings.iter().map(|reading| reading_json(reading, &digits)).chain(blocks.iter().map(block_json));
        say_json(&rows.collect())?;
    } else if blocks.is_empty() {
        note("the blocks are compared with the CPU reference, so that table needs a GPU");
    } else {
        say_blocks(&blocks, &device)?;
    }
    let same = readings.iter().all(|reading| reading.right == reading.right_in_pytorch);
    if same && blocks.iter().all(|block| block.outcome.pass) { Ok(()) } else { Err(Failure::Check) }
}

fn check_block(gpu: &Gpu, row: Canonical) -> Result<Block, Error> {
    let (graph, input) = (row.graph(SEED)?, row.input(SEED)?);
    let outputs = graph.outputs().iter().map(|(_, id)| graph.shape(*id)).collect::<Result<_, _>>()?;
    let reference = Reference::default();
    let want = reference.run_with_bounds(&graph, std::slice::from_ref(&input))?;
    let outcome = check::on_gpu(gpu, &graph, std::slice::from_ref(&input), &want, &PlanOptions::default(), &reference);
    Ok(Block { row, outputs, outcome: outcome.unwrap_or_else(|error| Outcome::from(&error)) })
}

fn say_digits(digits: &Digits, readings: &[Reading], device: &Device) -> Result<()> {
    let images = digits.labels.len();
    say(format_args!("SPP_NET reads {images} handwritten digits on {}\n", device.name()))?;
    let accuracy = |right: usize| format!("{:.4}", right as f64 / images as f64);
    let row = |reading: &Reading| {
        let [h, w] = reading.size;
        [
            format!("{h}x{w}"),
            accuracy(reading.right),
            accuracy(reading.right_in_pytorch),
            format!("{:.1e}", reading.max_difference),
            reading.vector.to_string(),
            format!("{:.0}", reading.images_per_s),
        ]
    };
    let rows: Vec<_> = readings.iter().map(row).collect();
    say_table(["size", "accuracy", "PyTorch's", "max |difference|", "vector", "images/s"], &rows)?;
    let vector = readings.first().expect("digits are read at every size").vector;
    say(format_args!("\none network, any input size: always a vector of {vector}\n"))?;
    if let Some(reading) = readings.iter().find(|reading| reading.size == [24, 24]) {
        for line in digits.drawn(6, reading)? {
            say(line.trim_end())?;
        }
    }
    Ok(())
}

fn say_blocks(blocks: &[Block], device: &Device) -> Result<()> {
    say(format_args!("\nthe family on {}, against the CPU reference\n", device.name()))?;
    let row = |Block { row, outputs, outcome }: &Block| {
        let outputs: Vec<String> = outputs.iter().map(Shape::to_string).collect();
        [
            row.block.clone(),
            format!("{} → {}", row.shape, outputs.join(" ")),
            outcome.dispatches.map_or("-".into(), |count| count.to_string()),
            format!("{:.3}", outcome.err_over_bound),
            if outcome.pass { "ok".into() } else { format!("FAIL {}", outcome.note) },
        ]
    };
    let rows: Vec<_> = blocks.iter().map(row).collect();
    Ok(say_table(["block", "shape", "dispatches", "err/bound", ""], &rows)?)
}

fn reading_json(reading: &Reading, digits: &Digits) -> Value {
    let [h, w] = reading.size;
    json!({
        "size": format!("{h}x{w}"),
        "images": digits.labels.len(),
        "right": reading.right,
        "right_in_pytorch": reading.right_in_pytorch,
        "max_abs_difference": reading.max_difference,
        "vector": reading.vector,
        "images_per_s": reading.images_per_s,
        "pass": reading.right == reading.right_in_pytorch,
    })
}

fn block_json(Block { row, outputs, outcome }: &Block) -> Value {
    let dims = |shape: &Shape| [shape.n, shape.c, shape.h, shape.w];
    json!({
        "block": row.block,
        "input": dims(&row.shape),
        "outputs": outputs.iter().map(dims).collect::<Vec<_>>(),
        "dispatches": outcome.dispatches,
        "err_over_bound": outcome.err_over_bound,
        "pass": outcome.pass,
        "note": outcome.note,
    })
}
