//! `spp run`: writes a block's outputs to a file.

use std::path::{Path, PathBuf};
use std::slice;

use spp_wgpu::case::{Case, canonical_row, save_tensors};
use spp_wgpu::onnx::save_values;
use spp_wgpu::weights::Weights;
use spp_wgpu::{Error, Graph, PlanOptions, Program, Shape, Tensor, blocks, detection, reference};

use crate::device::Device;
use crate::failure::{Failure, Result};
use crate::network::Network;
use crate::output::say;
use crate::picture::{self, Preparation};
use crate::planning::Arithmetic;
use crate::source::{self, Reading};

/// Compute an ONNX file or a block and write its outputs: a block from a case file, or from weights and an input
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: spp run yolo.onnx --input x.safetensors --output y.safetensors
         spp run yolo.onnx --image photo.jpg --scale 1/255 --output y.safetensors
         spp run cases/sppf_k5.safetensors --output y.safetensors
         spp run --block sppf --args '{\"c1\": 512, \"c2\": 512}' --weights yolov5s.safetensors --prefix model.9 \\
             --input x.safetensors --output y.safetensors")]
pub(crate) struct Args {
    /// An ONNX file, with --input or --image; or a case file: safetensors with metadata `block` and `args`, tensors `input`, `output`
    /// and `weights.*`
    #[arg(value_name = "ONNX|CASE", required_unless_present = "block")]
    case: Option<PathBuf>,
    #[command(flatten)]
    reading: Reading,
    /// A block by name, instead of a case
    #[arg(long, value_parser = blocks::NAMES, conflicts_with = "case", requires = "weights", requires = "input")]
    block: Option<String>,
    /// The block's arguments, a JSON object
    #[arg(long, default_value = "{}", requires = "block", conflicts_with = "case")]
    args: String,
    /// Its weights: a state_dict as safetensors
    #[arg(long, requires = "block", conflicts_with = "case", value_name = "FILE")]
    weights: Option<PathBuf>,
    /// What its keys begin with: as in the file, or without what wrappers add (module, _orig_mod)
    #[arg(long, default_value = "", requires = "block", conflicts_with = "case")]
    prefix: String,
    /// Replace parts of its keys, whole names between dots, wherever they stand, in the order given: conv1=cv1, a.b=
    #[arg(long, requires = "block", conflicts_with = "case", value_name = "FROM=TO", value_parser = renaming)]
    rename: Vec<(String, String)>,
    /// A safetensors file: for a block a tensor [n, c, h, w], for an ONNX file its inputs by name, or as in.NAME
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Which tensor, if the file has more than one and none is called 'input'
    #[arg(long, requires = "block", conflicts_with = "case", value_name = "NAME")]
    tensor: Option<String>,
    /// A picture as the only input of an ONNX file: PNG or JPEG
    #[arg(long, value_name = "PICTURE", conflicts_with_all = ["input", "block"])]
    image: Option<PathBuf>,
    #[command(flatten)]
    preparation: Preparation,
    /// Where to write: safetensors, tensors `output` or `output.*`, or an ONNX file's outputs by name
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// Overwrite the output
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    arithmetic: Arithmetic,
}

fn renaming(text: &str) -> Result<(String, String), String> {
    let (from, to) = text.split_once('=').ok_or("needs FROM=TO, such as conv1=cv1")?;
    Ok((from.into(), to.into()))
}

pub(crate) fn run(args: &Args, device: Option<&str>) -> Result<()> {
    if args.image.is_none() && args.preparation.is_given() {
        return Err(Failure::Usage("--fit, --order, --scale, --mean and --std prepare the picture of --image".into()));
    }
    if !args.force && args.output.symlink_metadata().is_ok() {
        return Err(Failure::Usage(format!("{}: already exists; --force overwrites it", args.output.display())));
    }
    if let Some(file) = args.case.as_deref().filter(|file| source::is_onnx(file)) {
        return run_model(args, file, device);
    }
    if args.input.is_some() && args.block.is_none() {
        return Err(Failure::Usage("--input is for an ONNX file, or for --block".into()));
    }
    let (block, graph, input) = job(args)?;
    let results = computed(args, &graph, slice::from_ref(&input), device)?;
    let named = graph.outputs().iter().zip(&results);
    let tensors: Vec<_> =
        named.map(|((name, _), result)| (name.clone(), dims(&block, result.shape()), result.data())).collect();
    save_tensors(&args.output, &tensors, args.force)?;
    for (name, dims, _) in &tensors {
        say(format_args!("{name} {dims:?}"))?;
    }
    Ok(())
}

fn computed(args: &Args, graph: &Graph, inputs: &[Tensor], device: Option<&str>) -> Result<Vec<Tensor>> {
    let options = args.arithmetic.options(PlanOptions::default());
    Ok(match args.arithmetic.open(device)? {
        Device::Gpu(gpu) => Program::with_options(&gpu, graph, &options)?.run(inputs)?,
        Device::Reference => reference::run(graph, inputs)?,
    })
}

/// Computes a model of another framework.
fn run_model(args: &Args, file: &Path, device: Option<&str>) -> Result<()> {
    let (model, results) = match (&args.input, &args.image) {
        (Some(input), _) => {
            let (model, inputs) = source::model_for(file, &source::named(input, "in.")?, &args.reading)?;
            let results = computed(args, &model.graph, &inputs, device)?;
            (model, results)
        }
        (None, Some(image)) => {
            let network = Network::open(file, &args.reading, |_| None, &args.arithmetic, device)?;
            let preparation = args.preparation.or(detection::Preparation::default())?;
            let (input, _) = picture::prepared(&picture::open(image)?, &preparation, network.input)?;
            let results = network.run(&[input])?;
            (network.model, results)
        }
        (None, None) => return Err(Failure::Usage(format!("{}: needs --input or --image", file.display()))),
    };
    save_values(&args.output, &source::outputs(&model, &results), args.force)?;
    for port in &model.outputs {
        say(format_args!("{} {:?}", port.name, port.dims))?;
    }
    Ok(())
}

/// The block's name, its graph and what to feed it.
fn job(args: &Args) -> Result<(String, Graph, Tensor)> {
    if let (Some(block), Some(weights), Some(input)) = (&args.block, &args.weights, &args.input) {
        let values = blocks::args(&args.args).map_err(|error| Failure::Usage(format!("--args: {error}")))?;
        let (mut weights, input) = (Weights::open(weights)?, open_input(input, args.tensor.as_deref())?);
        for (from, to) in &args.rename {
            weights = weights.renamed(from, to)?;
        }
        let scope = weights.scope(&args.prefix).named("");
        return Ok((block.clone(), blocks::build(block, &values, input.shape(), &scope)?, input));
    }
    let Some(case) = &args.case else {
        return Err(Failure::Usage("give a case file, or --block with --weights and --input".into()));
    };
    if let (false, Some(name)) = (case.exists(), case.to_str())
        && (canonical_row(name).is_ok() || blocks::NAMES.contains(&name))
    {
        let other = "give a case file, or --block with --weights and --input; verify and bench take published shapes";
        return Err(Failure::Usage(format!("{name}: there is no such file; {other}")));
    }
    let case = Case::open(case)?;
    let graph = case.graph()?;
    Ok((case.block, graph, case.input))
}

fn open_input(path: &PathBuf, wanted: Option<&str>) -> Result<Tensor, Error> {
    let file = Weights::open(path)?;
    let keys: Vec<&str> = file.keys().collect();
    let bad = |reason: String| Error::File { path: path.clone(), reason };
    let key = match (wanted, &keys[..]) {
        (Some(wanted), _) => wanted,
        (None, [only]) => only,
        (None, _) if keys.contains(&"input") => "input",
        (None, _) => return Err(bad(format!("--tensor must say which of them to use: {}", keys.join(", ")))),
    };
    let (dims, values) = file.tensor(key).map_err(|error| bad(error.to_string()))?;
    let &[n, c, h, w] = &dims[..] else {
        return Err(bad(format!("tensor '{key}' is {dims:?}, but [n, c, h, w] is needed")));
    };
    Tensor::new(Shape::new(n, c, h, w), values).map_err(|error| bad(error.to_string()))
}

/// The dimensions that PyTorch gives a block's result: vectors have 2, rows of scores 3, maps 4.
fn dims(block: &str, Shape { n, c, h, w }: Shape) -> Vec<u32> {
    match block {
        "sppnet" | "pyramid_pool" => vec![n, c],
        "rfbnet" => vec![n, c, w],
        _ => vec![n, c, h, w],
    }
}
