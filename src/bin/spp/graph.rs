//! `spp graph`: a graph, or the plan made of it, as text, JSON or a drawing.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use spp_wgpu::plan::{Matrices, Slice};
use spp_wgpu::{DeviceClass, DeviceProfile, Error, Graph, Plan};

use crate::device::Device;
use crate::failure::{Failure, Result};
use crate::output::{note, say, say_json, say_table};
use crate::planning::Planning;
use crate::source::Reading;
use crate::subject::Subject;

/// Show a graph, or with --planned the dispatches and buffers it becomes
///
/// The plan is made for a discrete GPU with wgpu's default limits, unless --class, --profile or --device names another.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: spp graph sppf_v5s --planned\n         spp graph sppf_v5s --format dot | dot -Tsvg")]
pub(crate) struct Args {
    /// The name of a published shape, a case file, or an ONNX file
    #[arg(value_name = "NAME|CASE|ONNX")]
    subject: String,
    #[command(flatten)]
    reading: Reading,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Show the plan
    #[arg(long)]
    planned: bool,
    /// Plan for a device of this class, with wgpu's default limits
    #[arg(long, value_enum, requires = "planned", conflicts_with = "profile")]
    class: Option<Class>,
    /// Plan for a chip by its code name: `spp devices --profiles` lists them
    #[arg(long, value_name = "CHIP", requires = "planned")]
    profile: Option<String>,
    /// Write the WGSL of each kernel of the plan into this folder, as it is compiled; files of their names are replaced
    #[arg(long, value_name = "FOLDER", requires = "planned")]
    wgsl: Option<PathBuf>,
    #[command(flatten)]
    planning: Planning,
}

#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
enum Format {
    #[default]
    Text,
    Json,
    Dot,
    Mermaid,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Class {
    Discrete,
    Integrated,
    Software,
}

pub(crate) fn graph(args: &Args, device: Option<&str>) -> Result<()> {
    let graph = Subject::find(&args.subject, &args.reading)?.graph()?;
    if device.is_some() && (args.class.is_some() || args.profile.is_some()) {
        return Err(Failure::Usage("--device plans for an adapter: leave out --class and --profile".into()));
    }
    if args.planned {
        let open = |device| Device::open_with(Some(device), args.planning.arithmetic.matrices);
        let (profile, options) = match device.map(open).transpose()? {
            Some(Device::Gpu(gpu)) => (gpu.profile().clone(), args.planning.options(&gpu)),
            Some(Device::Reference) => {
                return Err(Failure::Usage("the CPU reference runs graphs without a plan".into()));
            }
            None if args.planning.tuned => {
                return Err(Failure::Usage("--tuned: name the adapter with --device".into()));
            }
            None => (args.profile()?, args.planning.untuned()),
        };
        let plan = Plan::new(&graph, &profile, &options)?;
        if let Some(folder) = &args.wgsl {
            write_kernels(&plan, folder)?;
        }
        return match args.format {
            Format::Text => Ok(say(plan.to_string().trim_end())?),
            Format::Json => Ok(say_json(&plan_json(&plan))?),
            Format::Dot => Ok(say(plan.to_dot().trim_end())?),
            Format::Mermaid => Ok(say(plan.to_mermaid().trim_end())?),
        };
    }
    if args.planning.is_given() {
        return Err(Failure::Usage(
            "--unfused, --without, --tuned, --matrices, --precision and --ports are about plans: add --planned".into(),
        ));
    }
    match args.format {
        Format::Text => nodes(&graph),
        Format::Json => Ok(say_json(&graph_json(&graph))?),
        Format::Dot => Ok(say(graph.to_dot().trim_end())?),
        Format::Mermaid => Ok(say(graph.to_mermaid().trim_end())?),
    }
}

/// One file a kernel, by its name.
fn write_kernels(plan: &Plan, folder: &Path) -> Result<()> {
    let file = |path: &Path, e: std::io::Error| Error::File { path: path.into(), reason: e.to_string() };
    fs::create_dir_all(folder).map_err(|e| file(folder, e))?;
    for step in &plan.steps {
        let path = folder.join(format!("{}.wgsl", step.kernel_name()));
        fs::write(&path, step.source()).map_err(|e| file(&path, e))?;
    }
    Ok(())
}

impl Args {
    /// What there is without an adapter.
    fn profile(&self) -> Result<DeviceProfile> {
        let mut profile = self.any_profile()?;
        if !self.planning.arithmetic.matrices {
            profile.matrices = Matrices::NONE;
        } else if profile.matrices == Matrices::NONE {
            note("no matrices: the plan is for a device that has none");
        }
        Ok(profile)
    }

    fn any_profile(&self) -> Result<DeviceProfile> {
        if let Some(name) = &self.profile {
            return Ok(DeviceProfile::named(name)?);
        }
        Ok(DeviceProfile::portable(match self.class {
            None | Some(Class::Discrete) => DeviceClass::Discrete,
            Some(Class::Integrated) => DeviceClass::Integrated,
            Some(Class::Software) => DeviceClass::Software,
        }))
    }
}

fn nodes(graph: &Graph) -> Result<()> {
    let names = |ids: &[spp_wgpu::NodeId]| {
        let names: Vec<&str> = ids.iter().map(|id| graph.nodes()[id.index()].name.as_str()).collect();
        names.join(", ")
    };
    let row = |(id, node): (spp_wgpu::NodeId, &spp_wgpu::Node)| {
        let outputs = graph.outputs().iter().filter(|(_, output)| *output == id).map(|(name, _)| name.as_str());
        let outputs = outputs.collect::<Vec<_>>().join(", ");
        [node.name.clone(), node.op.to_string(), node.shape.to_string(), names(&node.inputs), outputs]
    };
    let rows: Vec<_> = graph.ids().zip(graph.nodes()).map(row).collect();
    Ok(say_table(["node", "op", "shape", "inputs", "output"], &rows)?)
}

fn graph_json(graph: &Graph) -> Value {
    let name = |id: &spp_wgpu::NodeId| graph.nodes()[id.index()].name.as_str();
    let nodes = graph.nodes().iter().map(|node| {
        let shape = [node.shape.n, node.shape.c, node.shape.h, node.shape.w];
        let inputs: Vec<&str> = node.inputs.iter().map(name).collect();
        json!({ "name": node.name, "op": node.op.stem(), "attributes": node.op.to_string(), "inputs": inputs, "shape": shape })
    });
    let outputs = graph.outputs().iter().map(|(output, id)| json!({ "name": output, "node": name(id) }));
    json!({ "nodes": nodes.collect::<Vec<_>>(), "outputs": outputs.collect::<Vec<_>>() })
}

fn plan_json(plan: &Plan) -> Value {
    let texts = |slices: &[Slice]| slices.iter().map(Slice::to_string).collect::<Vec<_>>();
    let steps = plan.steps.iter().map(|step| {
        let constants = step.constants.iter().map(|(name, value)| (name.to_string(), json!(value.to_string())));
        json!({
            "shader": step.shader.stem,
            "node": step.node,
            "constants": constants.collect::<Value>(),
            "workgroups": step.workgroups,
            "operands": texts(&step.operands),
            "results": texts(&step.results),
            "bytes": step.cost.bytes,
            "flops": step.cost.flops,
            "estimated_us": step.estimate(&plan.profile).map(|estimate| estimate.us),
            "kernel": step.choice.as_ref().map(|choice| choice.taken.to_string()),
            "why": step.choice.as_ref().map(|choice| &choice.why),
        })
    });
    let buffers = plan.buffers.iter().map(|buffer| json!({ "label": buffer.label, "bytes": buffer.bytes() }));
    json!({
        "dispatches": plan.dispatches(),
        "precision": plan.precision.to_string(),
        "bytes": plan.bytes(),
        "port_bytes": plan.port_bytes(),
        "estimated_us": plan.estimated_us(),
        "steps": steps.collect::<Vec<_>>(),
        "buffers": buffers.collect::<Vec<_>>(),
    })
}
