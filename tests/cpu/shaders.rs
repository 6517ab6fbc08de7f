//! Every shader as WGSL, as each backend gets it, and beside what Rust says of it.
//!
//! A check takes a source and its step, and says what is wrong with them. Each has a test that no source has such a
//! fault, and a control: sources and steps with one mistake each, in which it must find that.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::LazyLock;

use naga::back::{hlsl, msl, spv};
use naga::proc::Layouter;
use naga::valid::{Capabilities, FunctionInfo, ModuleInfo, ValidationFlags, Validator};
use naga::{
    AddressSpace, BinaryOperator, Block, Expression, Function, Handle, ImageClass, MathFunction, Module, ScalarKind,
    ShaderStage, Statement, StorageAccess, Type, TypeInner,
};
use spp_wgpu::bench;
use spp_wgpu::case::{self, Case};
use spp_wgpu::ops::{self, Layout, MaxPool, MaxPoolCascade, Paint, Paints, Texels};
use spp_wgpu::plan::{Binding, Constant, ConvKernel, Extension, Fields, Matrices, PortForm, Shader, Step, Tile};
use spp_wgpu::{DeviceClass, DeviceProfile, Graph, NodeId, Plan, PlanOptions, Precision, Shape};

use crate::graphs::{CONSUMERS, behind_gaps, briefly, by_tile, graph, one_core, painted, same_conv, sppf, tensors};
use crate::shader_files::{assert_none, at};

/// Graphs that between them use every kernel in every form.
fn graphs() -> Vec<Graph> {
    let shape = Shape::new(2, 12, 8, 9);
    let mut graphs: Vec<Graph> = CONSUMERS.iter().map(|consumer| behind_gaps(shape, consumer)).collect();
    graphs.extend([sppf(shape, 9, true), sppf(shape, 8, false), sppf(Shape { c: 256, ..shape }, 69, true)]);
    graphs.push(graph(shape, |graph, x| {
        let rows = graph.layout("rows", x, Layout { width: 4 }).unwrap();
        graph.max_pool("pool", rows, MaxPool { dilation: [1, 2], ..MaxPool::new([1, 2]) }).unwrap()
    }));
    let files = fs::read_dir(at("tests/data/cases")).unwrap().map(|file| file.unwrap().path());
    graphs.extend([sum_of(["a", "b", "c"]), sum_of(["a", "b", "c", "d", "e"])]);
    graphs.push(three_targets());
    graphs.push(graph(shape, |graph, x| residuals(graph, x, 12, 1)));
    graphs.push(graph(shape, |graph, x| residuals(graph, x, 12, 2)));
    graphs.push(graph(shape, |graph, x| residuals(graph, x, 1, 1)));
    graphs.push(graph(shape, |graph, x| {
        let conv = ops::Conv { activation: ops::Activation::Mish, ..same_conv(12, 1, 3) };
        graph.conv("y", x, ops::Conv { groups: 12, dilation: [1, 2], ..conv }).unwrap()
    }));
    graphs.extend([2, 3].map(depthwise_of));
    // Long sums of few outputs: split where there are cores to spare, and of few channels, made tap by tap.
    graphs.push(graph(Shape::new(1, 1024, 5, 5), |graph, x| graph.conv("y", x, same_conv(64, 1024, 1)).unwrap()));
    graphs.push(graph(Shape::new(1, 512, 5, 5), |graph, x| graph.conv("y", x, same_conv(21, 512, 3)).unwrap()));
    // From a buffer of its own, unlike SPPF's.
    graphs
        .push(graph(shape, |graph, x| graph.max_pool_cascade("y", x, MaxPoolCascade { kernel: 5, times: 3 }).unwrap()));
    graphs.extend(pictures());
    graphs.extend(files.map(|file| Case::open(file).unwrap().graph().unwrap()));
    graphs
}

/// Pictures of all kinds, seen and painted over.
fn pictures() -> Vec<Graph> {
    let heat = |channel| Paints::HeatMap { channel, range: [0.0, 1.0], colors: [[0.0; 3], [1.0; 3]].into() };
    let colors = Paints::Colors { scale: [1.0; 3], shift: [0.0; 3] };
    let paints = [heat(0), heat(1), heat(2), heat(3), colors, Paints::classes(5)];
    let mut graphs = Vec::new();
    for texels in [Texels::Rgba8, Texels::Rgba8Srgb, Texels::Rgba16Float] {
        for paints in paints.clone() {
            let texture = ops::Texture { order: ops::ColorOrder::Bgr, ..ops::Texture::letterbox(8, 6) };
            let paint = Paint { through: Some(texture), ..Paint::new(7, 9, paints) };
            graphs.push(painted([7, 9], texels, texture, paint.clone()));
            graphs.push(painted([7, 9], texels, texture, Paint { texels: Texels::Rgba16Float, ..paint }));
        }
    }
    for full_range in [false, true] {
        for matrix in [ops::YuvMatrix::Bt601, ops::YuvMatrix::Bt709] {
            let mut graph = Graph::new();
            let texture = ops::Texture { yuv: ops::Yuv { matrix, full_range }, ..ops::Texture::stretch(8, 6) };
            let x = graph.nv12_input("x", [5, 7], texture).unwrap();
            let y = graph.conv("y", x, same_conv(4, 3, 3)).unwrap();
            graph.output("y", y).unwrap();
            graphs.push(graph);
        }
    }
    graphs
}

/// Three inputs are as many as one dispatch can have; of more, several add to each other's sums.
fn sum_of<const N: usize>(names: [&str; N]) -> Graph {
    let mut graph = Graph::new();
    let inputs = names.map(|name| graph.input(name, Shape::new(1, 4, 3, 3)).unwrap());
    let terms = vec![same_conv(8, 4, 3); N];
    let y = graph.conv_sum("y", &inputs, ops::ConvSum { terms, activation: ops::Activation::None }).unwrap();
    graph.output("y", y).unwrap();
    graph
}

/// As many outputs as one dispatch can have.
fn three_targets() -> Graph {
    let mut graph = Graph::new();
    let x = graph.input("x", Shape::new(1, 4, 3, 3)).unwrap();
    for (name, kernel) in [("a", 1), ("b", 3), ("c", 5)] {
        let y = graph.conv(name, x, same_conv(8, 4, kernel)).unwrap();
        graph.output(name, y).unwrap();
    }
    graph
}

/// Depthwise convolutions of so many inputs, each an output of an extent of its own.
fn depthwise_of(count: usize) -> Graph {
    let mut graph = Graph::new();
    for (name, h) in [("a", 5), ("b", 6), ("c", 7)].into_iter().take(count) {
        let x = graph.input(format!("{name} in"), Shape::new(1, 4, h, 6)).unwrap();
        let y = graph.conv(name, x, ops::Conv { groups: 4, ..same_conv(4, 1, 3) }).unwrap();
        graph.output(name, y).unwrap();
    }
    graph
}

/// A residual of the map, then of a pixel per image, then of a resized one, then one that is added last.
fn residuals(graph: &mut Graph, x: NodeId, groups: u32, dilation: u32) -> NodeId {
    let padding = ops::Padding::symmetric(1, dilation);
    let conv = || ops::Conv { groups, padding, dilation: [1, dilation], ..same_conv(12, 12 / groups, 3) };
    let y = graph.conv_add("map", x, x, conv()).unwrap();
    let pixel = graph.global_pool("pixel", x, ops::GlobalPool { kind: ops::GlobalPoolKind::Max }).unwrap();
    let y = graph.conv_add("image", y, pixel, conv()).unwrap();
    let pixel = graph.conv("more", pixel, same_conv(13, 12, 1)).unwrap();
    let y = graph.conv_add("resized", y, pixel, conv()).unwrap();
    graph.conv_add("last", y, x, ops::Conv { adds_last: true, ..conv() }).unwrap()
}

fn options() -> [PlanOptions; 5] {
    let kernel = |kernel| {
        let mut options = PlanOptions::default();
        options.conv_kernel = kernel;
        options
    };
    let kernels = [ConvKernel::Tiled, ConvKernel::Subgroup, ConvKernel::Direct].map(kernel);
    let [tiled, subgroup, direct] = kernels;
    [PlanOptions::default(), PlanOptions::unfused(), tiled, subgroup, direct]
}

/// Rows of the matrices that kernels are written for, and what these multiply.
const MATRICES: [(u32, Precision); 3] = [(8, Precision::F16), (16, Precision::F16), (8, Precision::F32)];

/// A card with matrices has more than every adapter offers.
fn with_matrices(size: u32, precision: Precision) -> DeviceProfile {
    let has = |of| (of == precision).then_some(size);
    DeviceProfile {
        matrices: Matrices { f16: has(Precision::F16), f32: has(Precision::F32) },
        workgroup_memory: if size == 16 { 48 << 10 } else { 32 << 10 },
        max_invocations: 1024,
        subgroups: Some([32; 2]),
        f16: precision == Precision::F16,
        ..DeviceProfile::portable(DeviceClass::Discrete)
    }
}

/// A step for each different source.
pub(crate) static STEPS: LazyLock<BTreeMap<String, Step>> = LazyLock::new(|| {
    let mut steps = BTreeMap::new();
    let mut add = |graph: &Graph, profile: &DeviceProfile, options: &PlanOptions| {
        let plan = Plan::new(graph, profile, options).unwrap();
        steps.extend(plan.steps.into_iter().map(|step| (step.source(), step)));
    };
    for graph in graphs() {
        for class in [DeviceClass::Discrete, DeviceClass::Integrated, DeviceClass::Software] {
            for options in options() {
                for (subgroups, int64) in
                    [(None, false), (Some([4; 2]), false), (Some([8; 2]), false), (Some([8; 2]), true)]
                {
                    let profile = DeviceProfile { subgroups, int64, ..DeviceProfile::portable(class) };
                    add(&graph, &profile, &options);
                }
            }
            let [default, unfused, _, _, direct] = options();
            for options in [default, unfused, direct] {
                let options = options.precision(Precision::F16);
                for (ports, f16) in [(Precision::F32, false), (Precision::F16, false), (Precision::F16, true)] {
                    let portable = DeviceProfile::portable(class);
                    let profile = DeviceProfile { f16, int64: f16, subgroups: Some([8; 2]), ..portable };
                    add(&graph, &profile, &options.clone().ports(ports));
                }
            }
            for precision in [Precision::F32, Precision::F16] {
                for form in [PortForm::NHWC_F32, PortForm::NHWC_F16, PortForm::NHWC_U8, PortForm::NCHW_U8] {
                    let options = PlanOptions::default().precision(precision);
                    let options = tensors(&graph).into_iter().fold(options, |options, name| options.port(name, form));
                    add(&graph, &DeviceProfile::portable(class), &options);
                }
            }
        }
    }
    for graph in graphs() {
        for (size, precision) in MATRICES {
            let profile = with_matrices(size, precision);
            for tile in Tile::of_matrices(size) {
                let mut whole = PlanOptions::default();
                whole.split_sums = false;
                for options in [PlanOptions::default(), PlanOptions::unfused(), whole] {
                    let options = options.precision(precision);
                    add(&graph, &profile, &by_tile(&graph, &profile, options, tile));
                }
            }
        }
    }
    // In turns, as long work is dispatched.
    for graph in graphs() {
        for class in [DeviceClass::Discrete, DeviceClass::Software] {
            let portable = DeviceProfile { subgroups: Some([8; 2]), ..DeviceProfile::portable(class) };
            let options = [PlanOptions::default(), PlanOptions::default().precision(Precision::F16)];
            options.into_iter().for_each(|options| add(&graph, &one_core(portable.clone()), &briefly(options)));
        }
    }
    for row in case::canonical().unwrap() {
        let graph = row.graph(1).unwrap();
        for class in [DeviceClass::Discrete, DeviceClass::Software] {
            let portable = DeviceProfile::portable(class);
            add(&graph, &DeviceProfile { workgroup_memory: 32 << 10, ..portable }, &PlanOptions::default());
        }
    }
    for plan in bench::peak_plans(&DeviceProfile::portable(DeviceClass::Discrete)) {
        steps.extend(plan.steps.into_iter().map(|step| (step.source(), step)));
    }
    steps
});

/// What is wrong with a source and its step.
type Check = fn(&str, &Step) -> Result<(), String>;

fn assert_no_fault(check: Check) {
    assert_none(STEPS.iter().filter_map(|(source, step)| {
        let fault = check(source, step).err()?;
        Some(format!("'{}', a {}: {fault}", step.node, step.shader.stem))
    }));
}

/// A shader by its stem; what is replaced, once, in a source of it; and part of the fault that a check must then find.
type Mistake = (&'static str, &'static [[&'static str; 2]], &'static str);

fn assert_finds(check: Check, mistakes: &[Mistake]) {
    for (stem, edits, fault) in mistakes {
        let (source, step) = right(check, stem);
        let edited = edits.iter().fold(source.clone(), |source, [from, to]| {
            assert!(source.contains(from), "{stem}: no {from:?} to edit");
            source.replacen(from, to, 1)
        });
        assert_is(check(&edited, step), fault);
    }
}

/// The same where the mistake is in the step.
fn assert_finds_in_step(check: Check, stem: &str, edit: impl Fn(&mut Step), fault: &str) {
    let (source, step) = right(check, stem);
    let mut edited = step.clone();
    edit(&mut edited);
    assert_is(check(source, &edited), fault);
}

/// A source of a shader in which the check finds nothing.
fn right(check: Check, stem: &str) -> (&'static String, &'static Step) {
    let (source, step) = STEPS.iter().find(|(_, step)| step.shader.stem == stem).unwrap();
    check(source, step).unwrap();
    (source, step)
}

fn assert_is(found: Result<(), String>, fault: &str) {
    let found = found.expect_err(fault);
    assert!(found.contains(fault), "found {found:?}, not {fault:?}");
}

fn has_matrices(source: &str) -> bool {
    source.contains("enable wgpu_cooperative_matrix;")
}

fn parsed(source: &str) -> Result<(Module, ModuleInfo), String> {
    let module = naga::front::wgsl::parse_str(source).map_err(|e| e.emit_to_string(source))?;
    // No capability: what every adapter takes. But for what must be asked for.
    let mut capabilities = Capabilities::empty();
    capabilities.set(Capabilities::SHADER_FLOAT16, source.starts_with("enable f16;"));
    // Every adapter has these.
    capabilities.set(Capabilities::SHADER_FLOAT16_IN_FLOAT32, source.contains("unpack2x16float"));
    capabilities.set(Capabilities::SUBGROUP, source.contains("@builtin(subgroup_"));
    capabilities.set(Capabilities::SHADER_INT64, source.contains("u64"));
    capabilities.set(Capabilities::COOPERATIVE_MATRIX, has_matrices(source));
    let info = Validator::new(ValidationFlags::all(), capabilities).validate(&module);
    let info = info.map_err(|e| format!("{}\n{source}", e.emit_to_string(source)))?;
    Ok((module, info))
}

fn becomes_spirv(source: &str, _: &Step) -> Result<(), String> {
    let (module, info) = parsed(source)?;
    let spirv = spv::write_vec(&module, &info, &spv::Options::default(), None);
    spirv.map(|_| ()).map_err(|e| format!("SPIR-V: {e}"))
}

fn becomes_msl(source: &str, _: &Step) -> Result<(), String> {
    let (module, info) = parsed(source)?;
    let mut options = msl::Options::default();
    if has_matrices(source) {
        // Metal has them from this version on.
        options.lang_version = (2, 3);
    }
    let msl = msl::write_string(&module, &info, &options, &msl::PipelineOptions::default());
    msl.map(|_| ()).map_err(|e| format!("MSL: {e}"))
}

fn becomes_hlsl(source: &str, _: &Step) -> Result<(), String> {
    let (module, info) = parsed(source)?;
    if has_matrices(source) {
        return Ok(()); // DX12 has none
    }
    let mut text = String::new();
    let (options, pipeline) = (hlsl::Options::default(), hlsl::PipelineOptions::default());
    let hlsl = hlsl::Writer::new(&mut text, &options, &pipeline).write(&module, &info, None);
    hlsl.map(|_| ()).map_err(|e| format!("HLSL: {e}"))
}

const BACKENDS: [Check; 3] = [becomes_spirv, becomes_msl, becomes_hlsl];

#[test]
fn kernels_have_the_same_name_if_they_have_the_same_source() {
    let names: BTreeSet<String> = STEPS.values().map(Step::kernel_name).collect();
    assert_eq!(names.len(), STEPS.len());
    let fits_a_file = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    assert!(names.iter().all(|name| name.len() < 240 && name.chars().all(fits_a_file)), "{names:?}");
}

#[test]
fn every_source_becomes_spirv_msl_and_hlsl() {
    assert!(STEPS.len() > 70, "{} sources", STEPS.len());
    BACKENDS.into_iter().for_each(assert_no_fault);
}

/// Each tile of each kind of matrices, with all that a convolution may read, do and write. Sums in parts have the same
/// sources.
#[test]
fn all_forms_of_matrices_are_among_the_sources() {
    let forms = [
        "epilogue_plain epilogue_residual epilogue_last epilogue_image epilogue_resized",
        "sources_1 sources_2 sources_3",
        "targets_1 targets_2 targets_3",
        "made_stored made_sums",
    ];
    for (size, precision) in MATRICES {
        let factor = if precision == Precision::F16 { "factor_f16" } else { "factor_f32" };
        let matrices = format!("matrices_{size}");
        for tile in Tile::of_matrices(size) {
            let is_it = |step: &&Step| {
                let of = |stem: &str| step.pieces.iter().any(|piece| piece.stem == stem);
                let sizes = [("TILE_M", tile.m), ("TILE_K", tile.k), ("SPLIT_K", tile.split_k)];
                let sized = |(name, size)| step.constants.contains(&(name, Constant::U32(size)));
                of(factor) && of(&matrices) && sizes.into_iter().all(sized)
            };
            let steps: Vec<&Step> = STEPS.values().filter(is_it).collect();
            let there: BTreeSet<&str> = steps.iter().flat_map(|step| &step.pieces).map(|piece| piece.stem).collect();
            // Sums in f32 are what is stored in f32.
            let forms = forms.iter().flat_map(|form| form.split(' '));
            let forms = forms.filter(|form| precision == Precision::F16 || *form != "made_sums");
            let missing: Vec<&str> = forms.filter(|form| !there.contains(form)).collect();
            assert!(missing.is_empty(), "{tile} in {precision:?}: {missing:?}");
        }
    }
}

#[test]
fn what_does_not_translate_is_found() {
    let mistakes: &[Mistake] = &[
        ("copy", &[["if i < params.len {", "if i < params.len"]], "expected"),
        ("copy", &[["y[i] = x[i];", "y[i] = x[i].x;"]], "match the type stored"),
        ("copy", &[["y[i] = x[i];", "y[i] = subgroupAdd(x[i]);"]], "requires capability"),
        ("copy", &[["array<vec4f>", "array<f16>"]], "extension is not enabled"),
    ];
    // WGSL, but no backend takes it before a value is given.
    let edits: &[[&str; 2]] = &[["@compute", "override N: u32 = 1u;\n@compute"], ["params.len", "N"]];
    for (check, language) in BACKENDS.into_iter().zip(["SPIR-V: ", "MSL: ", "HLSL: "]) {
        assert_finds(check, mistakes);
        assert_finds(check, &[("copy", edits, language)]);
    }
}

/// The limits that every adapter offers. Tiles, which plans take where they fit, need the workgroup memory that they are
/// said to need, and matrices as many invocations as all adapters with some have.
fn keeps_to_limits(source: &str, step: &Step) -> Result<(), String> {
    let (module, _) = parsed(source)?;
    let profile = DeviceProfile::portable(DeviceClass::Discrete);
    let most = if has_matrices(source) { 1024 } else { profile.max_invocations };
    let mut layouter = Layouter::default();
    layouter.update(module.to_ctx()).unwrap();
    let globals = || module.global_variables.iter().map(|(_, global)| global);
    let in_workgroups = globals().filter(|global| global.space == AddressSpace::WorkGroup);
    let memory: u32 = in_workgroups.map(|global| layouter[global.ty].size).sum();
    let invocations: u32 = module.entry_points[0].workgroup_size.iter().product();
    let buffers = globals().filter(|global| matches!(global.space, AddressSpace::Storage { .. })).count();
    let bound = buffers + globals().filter(|global| global.space == AddressSpace::Handle).count();
    let tiles = step.load().workgroup_memory;
    let within = tiles > 0 || memory <= profile.workgroup_memory;
    let faults = [
        (!within || memory != step.workgroup_memory, format!("{memory} bytes of workgroup memory")),
        (tiles > 0 && memory != tiles, format!("{memory} bytes of workgroup memory, estimated as {tiles}")),
        (invocations > most, format!("{invocations} invocations")),
        (buffers > profile.max_storage_buffers as usize, format!("{buffers} storage buffers")),
        (bound != step.bindings.len(), format!("it binds {bound}, and its step {}", step.bindings.len())),
        (!module.overrides.is_empty(), "an override".into()),
    ];
    let fault = faults.into_iter().find_map(|(is_fault, fault)| is_fault.then_some(fault));
    fault.map_or(Ok(()), Err)
}

#[test]
fn every_source_stays_within_the_portable_limits() {
    assert_no_fault(keeps_to_limits);
}

#[test]
fn what_exceeds_the_portable_limits_is_found() {
    const BUFFERS: &str = "
        @group(0) @binding(11) var<storage, read> a: f32; @group(0) @binding(12) var<storage, read> b: f32;
        @group(0) @binding(13) var<storage, read> c: f32; @group(0) @binding(14) var<storage, read> d: f32;
        @group(0) @binding(15) var<storage, read> e: f32; @group(0) @binding(16) var<storage, read> f: f32;
        @group(0) @binding(17) var<storage, read> g: f32; @compute";
    const BUFFER: &str = "@group(0) @binding(11) var<storage, read> a: f32; @compute";
    let mistakes: &[Mistake] = &[
        ("linear", &[["array<vec4f, WG_SIZE>", "array<vec4f, 1025>"]], "16400 bytes of workgroup memory"),
        ("conv", &[["array<u32, TILE_M>", "array<u32, 2u * TILE_M>"]], "bytes of workgroup memory"),
        ("copy", &[["@workgroup_size(WG_SIZE)", "@workgroup_size(257)"]], "257 invocations"),
        ("copy", &[["@compute", BUFFERS]], "9 storage buffers"),
        ("copy", &[["@compute", BUFFER]], "it binds 3, and its step 2"),
        ("copy", &[["@compute", "override N: u32;\n@compute"]], "an override"),
    ];
    assert_finds(keeps_to_limits, mistakes);
    assert_finds_in_step(keeps_to_limits, "copy", |step| step.bindings.truncate(1), "and its step 1");
    assert_finds_in_step(keeps_to_limits, "linear", |step| step.workgroup_memory = 0, "1024 bytes of workgroup memory");
}

/// A step names the extensions that its source needs, and no others.
fn extensions_agree(source: &str, step: &Step) -> Result<(), String> {
    let module = naga::front::wgsl::parse_str(source).map_err(|e| e.emit_to_string(source))?;
    let is_valid = |extensions: &BTreeSet<Extension>| {
        let mut capabilities = Capabilities::SHADER_FLOAT16_IN_FLOAT32;
        for extension in extensions {
            capabilities |= match extension {
                Extension::F16 => Capabilities::SHADER_FLOAT16,
                Extension::CooperativeMatrix => Capabilities::COOPERATIVE_MATRIX,
                Extension::Subgroups => Capabilities::SUBGROUP,
                Extension::Int64 => Capabilities::SHADER_INT64,
            };
        }
        Validator::new(ValidationFlags::all(), capabilities).validate(&module).is_ok()
    };
    let named = step.extensions();
    if !is_valid(&named) {
        return Err(format!("it needs more than {named:?}"));
    }
    let without =
        |extension: &&Extension| is_valid(&named.iter().copied().filter(|other| other != *extension).collect());
    match named.iter().find(without) {
        Some(extension) => Err(format!("it does not need {extension:?}")),
        None => Ok(()),
    }
}

#[test]
fn steps_name_the_extensions_that_they_need() {
    assert_no_fault(extensions_agree);
    let named: BTreeSet<Extension> = STEPS.values().flat_map(Step::extensions).collect();
    assert_eq!(named.len(), 4, "{named:?}");
}

#[test]
fn extensions_that_are_not_named_or_not_needed_are_found() {
    let f16: &[[&str; 2]] = &[["\n", "\nvar<private> half: vec2<u64>;\n"]];
    assert_finds(extensions_agree, &[("copy", f16, "needs more than {}")]);
    let subgroup = |step: &Step| step.shader.stem == "conv_subgroup";
    let (source, step) = STEPS.iter().find(|(_, step)| subgroup(step)).unwrap();
    let lanes = Step { shader: STEPS.values().find(|step| step.shader.stem == "copy").unwrap().shader, ..step.clone() };
    let lanes = Step { pieces: Vec::new(), ..lanes };
    assert_is(extensions_agree(source, &lanes), "needs more than {}");
    let copy = STEPS.iter().find(|(_, step)| step.shader.stem == "copy").unwrap().0;
    assert_is(extensions_agree(copy, step), "does not need Subgroups");
}

/// `Params`, where they are bound and what they hold.
fn params_agree(source: &str, step: &Step) -> Result<(), String> {
    let (module, _) = parsed(source)?;
    let shader = step.shader;
    // The second group is where a dispatch in turns begins.
    let is_params = |global: &&naga::GlobalVariable| {
        global.space == AddressSpace::Uniform
            && (step.dispatches() == 1 || global.name.as_deref() != Some("first_workgroup"))
    };
    let globals: Vec<_> = module.global_variables.iter().map(|(_, global)| global).filter(is_params).collect();
    let [params] = globals.as_slice() else { return Err(format!("{} uniforms", globals.len())) };
    let binding = params.binding.unwrap();
    if (binding.group, binding.binding) != (0, shader.params_binding) {
        return Err(format!("params at {binding:?}, not {}", shader.params_binding));
    }
    if shader.tables.is_empty() {
        fields_agree(&module, params.ty, shader.params)
    } else {
        tables_agree(&module, params.ty, shader)
    }
}

/// Arrays of structs, one behind the other, without holes.
fn tables_agree(module: &Module, params: Handle<Type>, shader: &Shader) -> Result<(), String> {
    let TypeInner::Struct { members, .. } = &module.types[params].inner else { return Err("no struct".into()) };
    if members.len() != shader.tables.len() {
        return Err(format!("{} tables, not {}", members.len(), shader.tables.len()));
    }
    for (member, (name, fields)) in members.iter().zip(shader.tables) {
        let TypeInner::Array { base, stride, .. } = module.types[member.ty].inner else {
            return Err(format!("{:?} is no array", member.name));
        };
        let found = module.types[base].name.as_deref();
        if found != Some(*name) || stride as usize != 4 * fields.len() {
            return Err(format!("{found:?} of {stride} bytes, not {name} of {}", 4 * fields.len()));
        }
        fields_agree(module, base, fields)?;
    }
    Ok(())
}

fn fields_agree(module: &Module, ty: Handle<Type>, fields: Fields) -> Result<(), String> {
    let TypeInner::Struct { members, .. } = &module.types[ty].inner else { return Err("no struct".into()) };
    let scalar = |ty| match module.types[ty].inner {
        TypeInner::Scalar(scalar) if scalar == naga::Scalar::U32 => "u32",
        TypeInner::Scalar(scalar) if scalar == naga::Scalar::I32 => "i32",
        TypeInner::Scalar(scalar) if scalar == naga::Scalar::F32 => "f32",
        _ => "no scalar of 32 bits",
    };
    let wgsl: Vec<_> = members.iter().map(|m| (m.name.as_deref().unwrap(), scalar(m.ty), m.offset)).collect();
    let rust: Vec<_> = fields.iter().zip(0..).map(|((name, ty), i)| (*name, *ty, 4 * i)).collect();
    if wgsl == rust { Ok(()) } else { Err(format!("fields in WGSL {wgsl:?}, in Rust {rust:?}")) }
}

#[test]
fn params_are_the_same_in_both_languages() {
    assert_no_fault(params_agree);
}

#[test]
fn params_that_differ_are_found() {
    const SWAPPED: [&str; 2] = ["bias: u32, // first vec4\n    y_slot: u32", "y_slot: u32,\n    bias: u32"];
    const JOBS: &str = "jobs: array<Job, JOBS>,";
    const TERMS: &str = "terms: array<Term, TERMS>,";
    let mistakes: &[Mistake] = &[
        ("copy", &[["var<uniform> params: Params", "var<storage> params: Params"]], "0 uniforms"),
        ("copy", &[["@binding(2)", "@binding(3)"]], "params at"),
        ("copy", &[["@group(0) @binding(2)", "@group(1) @binding(2)"]], "params at"),
        ("copy", &[["len: u32,", "len: u32, more: u32,"]], "fields in WGSL"),
        ("copy", &[["len: u32", "length: u32"], ["params.len", "params.length"]], "fields in WGSL"),
        ("count", &[["step: f32", "step: u32"], ["params.step", "f32(params.step)"]], "fields in WGSL"),
        ("resize", &[["in_h: u32,\n    in_w: u32", "in_w: u32,\n    in_h: u32"]], "fields in WGSL"),
        ("resize", &[["    in_h: u32", "    @align(16) in_h: u32"]], "fields in WGSL"),
        ("conv", &[SWAPPED], "fields in WGSL"),
        ("conv", &[["struct Term {", "struct Term { more: u32,"]], "not Term of 64"),
        ("conv", &[[TERMS, "terms: array<Term, TERMS>, more: u32,"]], "3 tables, not 2"),
        ("conv", &[[JOBS, ""], [TERMS, "terms: array<Term, TERMS>, jobs: array<Job, JOBS>,"]], "not Job"),
    ];
    assert_finds(params_agree, mistakes);
}

/// A step's bindings are the shader's: the same slots, written where the shader may write.
fn bindings_agree(source: &str, step: &Step) -> Result<(), String> {
    let (module, _) = parsed(source)?;
    let slots = module.global_variables.iter().filter_map(|(_, global)| {
        let (written, what) = match (global.space, &module.types[global.ty].inner) {
            (AddressSpace::Storage { access }, _) => (access.contains(StorageAccess::STORE), "buffer".into()),
            (AddressSpace::Handle, TypeInner::Image { class: ImageClass::Storage { format, access }, arrayed, .. }) => {
                (*access == StorageAccess::STORE, format!("{format:?}, {arrayed}"))
            }
            (AddressSpace::Handle, TypeInner::Image { class, arrayed, .. }) => (false, format!("{class:?}, {arrayed}")),
            _ => return None,
        };
        Some((global.binding.unwrap().binding, written, what))
    });
    let wgsl: BTreeSet<(u32, bool, String)> = slots.collect();
    let what = |binding: &Binding| match binding.texels {
        None => "buffer",
        Some(Texels::Rgba8) if binding.written => "Rgba8Unorm, true",
        Some(_) if binding.written => "Rgba16Float, true",
        Some(_) => "Sampled { kind: Float, multi: false }, true",
    };
    let bound = step.bindings.iter().map(|binding| (binding.slot, binding.written, what(binding).to_string()));
    let rust: BTreeSet<_> = bound.collect();
    if wgsl == rust { Ok(()) } else { Err(format!("slots, and whether written, in WGSL {wgsl:?}, in Rust {rust:?}")) }
}

#[test]
fn bindings_are_the_same_in_both_languages() {
    assert_no_fault(bindings_agree);
}

#[test]
fn bindings_that_differ_are_found() {
    let mistakes: &[Mistake] = &[
        ("copy", &[["@binding(1)", "@binding(3)"]], "slots"),
        (
            "copy",
            &[["@binding(0)", "@binding(3)"], ["@binding(1)", "@binding(0)"], ["@binding(3)", "@binding(1)"]],
            "slots",
        ),
        ("copy", &[["var<storage, read> x", "var<storage, read_write> x"]], "slots"),
    ];
    assert_finds(bindings_agree, mistakes);
    assert_finds_in_step(bindings_agree, "copy", |step| step.bindings.truncate(1), "slots");
    assert_finds_in_step(bindings_agree, "copy", |step| step.bindings[1].written = false, "slots");
    for texels in [None, Some(Texels::Rgba16Float)] {
        let drawn = |step: &mut Step| step.bindings.iter_mut().filter(|b| b.written).for_each(|b| b.texels = texels);
        assert_finds_in_step(bindings_agree, "paint", drawn, "slots");
    }
}

/// There is one entry point, called like the file.
fn entry_is_called_like_the_file(source: &str, step: &Step) -> Result<(), String> {
    let (module, _) = parsed(source)?;
    let [entry] = module.entry_points.as_slice() else {
        return Err(format!("{} entry points", module.entry_points.len()));
    };
    // WGSL reserves the word `layout`.
    let name = if step.shader.stem == "layout" { "relayout" } else { step.shader.stem };
    if entry.stage != ShaderStage::Compute || entry.name != name {
        return Err(format!("{:?} {}, not Compute {name}", entry.stage, entry.name));
    }
    Ok(())
}

#[test]
fn there_is_one_entry_point_called_like_the_file() {
    assert_no_fault(entry_is_called_like_the_file);
}

#[test]
fn other_entry_points_are_found() {
    let mistakes: &[Mistake] = &[
        ("copy", &[["fn copy", "fn copied"]], "Compute copied"),
        ("count", &[["@compute @workgroup_size(1)", "@fragment"]], "Fragment count"),
        ("count", &[["@compute @workgroup_size(1)", ""]], "0 entry points"),
        ("count", &[["@compute", "@compute @workgroup_size(1) fn more() {}\n@compute"]], "2 entry points"),
    ];
    assert_finds(entry_is_called_like_the_file, mistakes);
}

/// A step counts iterations where its shader has a loop, and only there: plans are refused by that count, as llvmpipe
/// ends long loops without a word. Every loop calls for it, also one whose bound is a constant: no bound has to be
/// told from another, and a shader of short loops only may count them as the constants they are. What the count has
/// to be, the text does not say: this finds that it was forgotten, not that it is too low.
fn loops_are_counted(source: &str, step: &Step) -> Result<(), String> {
    let (module, _) = parsed(source)?;
    match (has_loop(&module, &module.entry_points[0].function.body), step.iterations) {
        (true, 0) => Err("a loop whose iterations are not counted".into()),
        (false, 1..) => Err(format!("{} iterations are counted, but there is no loop", step.iterations)),
        _ => Ok(()),
    }
}

/// In a block, or in a function that it calls.
fn has_loop(module: &Module, block: &Block) -> bool {
    block.iter().any(|statement| match statement {
        Statement::Loop { .. } => true,
        Statement::Block(block) => has_loop(module, block),
        Statement::If { accept, reject, .. } => has_loop(module, accept) || has_loop(module, reject),
        Statement::Switch { cases, .. } => cases.iter().any(|case| has_loop(module, &case.body)),
        Statement::Call { function, .. } => has_loop(module, &module.functions[*function].body),
        _ => false,
    })
}

#[test]
fn steps_count_the_iterations_of_their_loops() {
    assert_no_fault(loops_are_counted);
}

#[test]
fn loops_that_are_not_counted_are_found() {
    const ADD: &str = "y[0] += params.step;";
    const FUNCTION: &str = "fn wait() { while y[0] > params.step { y[0] -= 1.0; } }\n@compute";
    let fault = "a loop whose iterations are not counted";
    let mistakes: &[Mistake] = &[
        ("count", &[[ADD, "for (var i = 0u; i < 4u; i++) { y[0] += params.step; }"]], fault),
        ("count", &[[ADD, "loop { if y[0] > params.step { break; } }"]], fault),
        ("count", &[[ADD, "{ while y[0] < params.step { y[0] += 1.0; } }"]], fault),
        ("count", &[[ADD, "if y[0] > 0.0 { return; } else { loop { break; } }"]], fault),
        ("count", &[[ADD, "if y[0] > 0.0 { loop { break; } }"]], fault),
        ("count", &[[ADD, "switch u32(y[0]) { case 1u: { loop { break; } } default: {} }"]], fault),
        ("count", &[[ADD, "wait();"], ["@compute", FUNCTION]], fault),
    ];
    assert_finds(loops_are_counted, mistakes);
    let (source, step) = right(loops_are_counted, "count");
    loops_are_counted(&source.replace("@compute", FUNCTION), step).expect("a function that is not called is no loop");
    assert_finds_in_step(loops_are_counted, "max_pool", |step| step.iterations = 0, fault);
    assert_finds_in_step(loops_are_counted, "count", |step| step.iterations = 1, "but there is no loop");
}

/// Estimates are of workgroups as large as they are.
fn estimates_know_the_workgroup(source: &str, step: &Step) -> Result<(), String> {
    let (module, _) = parsed(source)?;
    let invocations: u32 = module.entry_points[0].workgroup_size.iter().product();
    let estimated = step.load().invocations;
    if estimated == invocations { Ok(()) } else { Err(format!("{invocations} invocations, estimated as {estimated}")) }
}

#[test]
fn every_workgroup_is_as_large_as_estimated() {
    assert_no_fault(estimates_know_the_workgroup);
    // The reason why sizes are multiplied.
    let wide = |step: &Step| step.shader.stem == "conv_direct" && step.load().invocations == 64;
    assert!(STEPS.values().any(wide));
}

#[test]
fn workgroups_unlike_their_estimates_are_found() {
    let mistakes: &[Mistake] = &[
        ("conv_direct", &[["@workgroup_size(LANES * PLACES)", "@workgroup_size(LANES, PLACES, 2)"]], "estimated as"),
        ("conv", &[["@workgroup_size(WG_SIZE)", "@workgroup_size(THREADS, 3)"]], "estimated as"),
    ];
    assert_finds(estimates_know_the_workgroup, mistakes);
    let without_sizes = |step: &mut Step| step.constants.clear();
    assert_finds_in_step(estimates_know_the_workgroup, "max_pool", without_sizes, "64 invocations, estimated as 1");
}

/// No variable index into a vector of floats, but in storage, which is addressed: the older of Microsoft's compilers,
/// FXC, makes it a dot product with 1 at that lane and 0 at the others, and NaN of what is infinite or NaN there.
/// Vectors of integers may be indexed: their bits may be those of floats.
fn picks_lanes_by_bits(source: &str, _: &Step) -> Result<(), String> {
    let (module, info) = parsed(source)?;
    for (function, info) in functions(&module, &info) {
        for (handle, expression) in function.expressions.iter() {
            let &Expression::Access { base, .. } = expression else { continue };
            if is_vector_of_floats(&module, info[base].ty.inner_with(&module.types)) {
                return Err(format!("{} is picked from floats", text_of(source, function, handle)));
            }
        }
    }
    Ok(())
}

/// Entry points, too.
fn functions<'a>(module: &'a Module, info: &'a ModuleInfo) -> impl Iterator<Item = (&'a Function, &'a FunctionInfo)> {
    let entries = module.entry_points.iter().enumerate();
    let entries = entries.map(|(i, entry)| (&entry.function, info.get_entry_point(i)));
    module.functions.iter().map(|(handle, function)| (function, &info[handle])).chain(entries)
}

fn text_of<'a>(source: &'a str, function: &Function, expression: Handle<Expression>) -> &'a str {
    function.expressions.get_span(expression).to_range().map_or("?", |range| &source[range])
}

/// By itself or behind a pointer.
fn is_vector_of_floats(module: &Module, inner: &TypeInner) -> bool {
    match *inner {
        TypeInner::Vector { scalar, .. } => scalar.kind == ScalarKind::Float,
        TypeInner::ValuePointer { size: Some(_), scalar, space } => {
            scalar.kind == ScalarKind::Float && !matches!(space, AddressSpace::Storage { .. })
        }
        TypeInner::Pointer { base, space } => {
            !matches!(space, AddressSpace::Storage { .. }) && is_vector_of_floats(module, &module.types[base].inner)
        }
        _ => false,
    }
}

#[test]
fn lanes_are_picked_by_bits() {
    assert_no_fault(picks_lanes_by_bits);
}

#[test]
fn lanes_that_are_picked_from_floats_are_found() {
    const FAULT: &str = "is picked from floats";
    const COPY: &str = "y[i] = x[i];";
    const FUNCTION: &str = "fn lane_of(v: vec4f, l: u32) -> f32 { return v[l]; }\n@compute";
    let mistakes: &[Mistake] = &[
        (
            "pyramid_pool",
            &[
                ["let bits = bits_of(best)", "let bits = bitcast<vec4f>(bits_of(best))"],
                ["bits[l])", "bitcast<u32>(bits[l]))"],
            ],
            "bits[l] is picked",
        ),
        ("conv_grouped", &[["bitcast<f32>(bitcast<vec4u>(v)[l])", "v[l]"]], "v[l] is picked"),
        ("copy", &[[COPY, "let v = x[i]; y[i] = vec4f(v[lane % 4u]);"]], FAULT),
        ("copy", &[[COPY, "y[i] = vec4f((x[i] * 2.0)[lane % 4u]);"]], FAULT),
        ("copy", &[[COPY, "var v = x[i]; y[i] = vec4f(v[lane % 4u]);"]], FAULT),
        ("copy", &[[COPY, "var v = x[i]; v[lane % 4u] = 0.0; y[i] = v;"]], FAULT),
        ("copy", &[[COPY, "var v = array(x[i], x[i]); let p = &v[1]; y[i] = vec4f((*p)[lane % 4u]);"]], FAULT),
        (
            "copy",
            &[[COPY, "v = x[i]; y[i] = vec4f(v[lane % 4u]);"], ["@compute", "var<private> v: vec4f;\n@compute"]],
            FAULT,
        ),
        ("copy", &[[COPY, "y[i] = vec4f(lane_of(x[i], lane % 4u));"], ["@compute", FUNCTION]], FAULT),
    ];
    assert_finds(picks_lanes_by_bits, mistakes);
    // Bits, a lane of storage, a constant index, a whole vector out of an array.
    let (source, step) = right(picks_lanes_by_bits, "copy");
    for copy in [
        "y[i] = vec4f(bitcast<f32>(bitcast<vec4u>(x[i])[lane % 4u]));",
        "y[i] = vec4f(x[i][lane % 4u]);",
        "let v = x[i]; y[i] = vec4f(v[2]);",
        "var v = array(x[i], x[i]); y[i] = v[lane % 2u];",
    ] {
        picks_lanes_by_bits(&source.replace(COPY, copy), step).expect(copy);
    }
}

/// Floats are compared by their bits, as integers: a maximum of floats may drop NaN, and FXC makes a maximum, or the
/// opposite, of a comparison. But for three functions: `activate` puts NaN back into what `activated` and `further`
/// make, and `softmax` subtracts the maximum from every value, so that it cannot lose one.
fn compares_bits(source: &str, _: &Step) -> Result<(), String> {
    let (module, info) = parsed(source)?;
    for (function, info) in functions(&module, &info) {
        if matches!(function.name.as_deref(), Some("activated" | "further" | "softmax")) {
            continue;
        }
        for (handle, expression) in function.expressions.iter() {
            let compared = match *expression {
                Expression::Binary { op, left, .. } if is_comparison(op) => left,
                Expression::Math { fun, arg, .. } if is_order(fun) => arg,
                _ => continue,
            };
            if info[compared].ty.inner_with(&module.types).scalar_kind() == Some(ScalarKind::Float) {
                return Err(format!("{} compares floats", text_of(source, function, handle)));
            }
        }
    }
    Ok(())
}

fn is_comparison(op: BinaryOperator) -> bool {
    use naga::BinaryOperator::{Equal, Greater, GreaterEqual, Less, LessEqual, NotEqual};
    matches!(op, Equal | NotEqual | Less | LessEqual | Greater | GreaterEqual)
}

fn is_order(fun: MathFunction) -> bool {
    use naga::MathFunction::{Clamp, Max, Min, Saturate, Sign, SmoothStep, Step};
    matches!(fun, Max | Min | Clamp | Saturate | Sign | Step | SmoothStep)
}

#[test]
fn floats_are_compared_by_bits() {
    assert_no_fault(compares_bits);
}

#[test]
fn compared_floats_are_found() {
    const COPY: &str = "y[i] = x[i];";
    let fault = "compares floats";
    let mistakes: &[Mistake] = &[
        ("copy", &[[COPY, "y[i] = max(x[i], vec4f(0.0));"]], fault),
        ("copy", &[[COPY, "y[i] = clamp(x[i], vec4f(0.0), vec4f(6.0));"]], fault),
        ("copy", &[[COPY, "y[i] = select(x[i], vec4f(0.0), x[i] < vec4f(0.0));"]], fault),
        ("copy", &[[COPY, "if x[i].x == x[i].x { y[i] = x[i]; }"]], fault),
        (
            "copy",
            &[
                [COPY, "y[i] = positive(x[i]);"],
                ["@compute", "fn positive(v: vec4f) -> vec4f { return sign(v); }\n@compute"],
            ],
            fault,
        ),
        (
            "max_pool",
            &[["max(best, to_ordered(x[tap]))", "max(best, bitcast<vec4u>(max(vec4f(0.0), loaded(x[tap]))))"]],
            fault,
        ),
    ];
    assert_finds(compares_bits, mistakes);
}
