//! `spp model`: what is in an ONNX file, and what becomes of it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value, json};
use spp_wgpu::onnx::{Block, Model, Port};
use spp_wgpu::{DeviceClass, DeviceProfile, Error, Plan, PlanOptions};

use crate::failure::Result;
use crate::output::{say, say_json};
use crate::source::Reading;

/// Show what an ONNX file holds: inputs, outputs, operators, blocks of the family, work, and dispatches
///
/// Dispatches are those of a discrete GPU with wgpu's default limits: one for each node of the file before planning.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: spp model yolox_nano.onnx\n         spp model segmenter.onnx --size height=512,width=512"
)]
pub(crate) struct Args {
    /// An ONNX file
    file: PathBuf,
    #[command(flatten)]
    reading: Reading,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

pub(crate) fn model(args: &Args) -> Result<()> {
    let model = match Model::load(&args.file, &args.reading.options()?) {
        Ok(model) => model,
        Err(Error::Model { problems }) if args.json => {
            say_json(&json!({ "file": args.file, "supported": false, "unsupported": problems }))?;
            return Err(Error::Model { problems }.into());
        }
        Err(error) => return Err(error.into()),
    };
    let mut operators: BTreeMap<&str, usize> = BTreeMap::new();
    for node in &model.nodes {
        *operators.entry(&node.op).or_default() += 1;
    }
    let profile = DeviceProfile::portable(DeviceClass::Discrete);
    let plan = |options: &PlanOptions| Plan::new(&model.graph, &profile, options).map(|plan| plan.dispatches());
    let (planned, unfused) = (plan(&PlanOptions::default())?, plan(&PlanOptions::unfused())?);
    let cost = model.graph.cost();
    let blocks = model.blocks();
    if args.json {
        let ports = |ports: &[Port]| ports.iter().map(port_json).collect::<Vec<_>>();
        let block = |block: &Block| json!({ "block": block.name, "nodes": block.nodes });
        return Ok(say_json(&json!({
            "file": args.file, "supported": true, "producer": model.producer, "opset": model.opset,
            "inputs": ports(&model.inputs), "outputs": ports(&model.outputs), "operators": operators,
            "blocks": blocks.iter().map(block).collect::<Vec<_>>(),
            "parameters": cost.parameters, "gflop": cost.flops as f64 / 1e9,
            "nodes": model.nodes.len(), "dispatches_unfused": unfused, "dispatches": planned,
        }))?);
    }
    let producer = if model.producer.is_empty() { "not said" } else { &model.producer };
    say(format_args!("producer    {}, opset {}", producer, model.opset))?;
    for (what, ports) in [("input", &model.inputs), ("output", &model.outputs)] {
        for Port { name, dims, element } in ports {
            say(format_args!("{what:<10}  {name} {dims:?} {}", format!("{element:?}").to_lowercase()))?;
        }
    }
    let mut by_count: Vec<_> = operators.iter().collect();
    by_count.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let listed: Vec<String> = by_count.iter().map(|(op, count)| format!("{op} {count}")).collect();
    say(format_args!("operators   {}", listed.join(", ")))?;
    for Block { name, nodes } in &blocks {
        say(format_args!("block       {name}: {}", nodes.join(", ")))?;
    }
    say(format_args!("parameters  {:.3} million", cost.parameters as f64 / 1e6))?;
    say(format_args!("work        {:.3} GFLOP", cost.flops as f64 / 1e9))?;
    let nodes = model.nodes.len();
    Ok(say(format_args!("dispatches  {nodes} nodes, {unfused} without passes, {planned} planned"))?)
}

fn port_json(port: &Port) -> Value {
    json!({ "name": port.name, "dims": port.dims, "type": format!("{:?}", port.element).to_lowercase() })
}
