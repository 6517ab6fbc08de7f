//! Every shader as WGSL, as each backend gets it, and beside its twins in Rust.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use naga::back::{hlsl, msl, spv};
use naga::proc::Layouter;
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use naga::{AddressSpace, Module, ShaderStage, TypeInner};
use spp_wgpu::case::{self, Case};
use spp_wgpu::ops::{self, Layout, MaxPool};
use spp_wgpu::plan::{ConvKernel, Fields, Shader, Step};
use spp_wgpu::{DeviceClass, DeviceProfile, Graph, Op, Plan, PlanOptions, Shape};
use spp_wgpu::{bench, kernels};

use crate::graphs::{CONSUMERS, behind_gaps, graph, same_conv, sppf};

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
    graphs.push(three_sources());
    graphs.extend(files.map(|file| Case::open(file).unwrap().graph().unwrap()));
    graphs
}

/// As many inputs as one sum can have.
fn three_sources() -> Graph {
    let mut graph = Graph::new();
    let inputs = ["a", "b", "c"].map(|name| graph.input(name, Shape::new(1, 4, 3, 3)).unwrap());
    let terms = vec![same_conv(8, 4, 3); 3];
    let y = graph.conv_sum("y", &inputs, ops::ConvSum { terms, activation: ops::Activation::None }).unwrap();
    graph.output("y", y).unwrap();
    graph
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

/// A step for each different source.
static STEPS: LazyLock<BTreeMap<String, Step>> = LazyLock::new(|| {
    let mut steps = BTreeMap::new();
    let mut add = |graph: &Graph, profile: &DeviceProfile, options: &PlanOptions| {
        let plan = Plan::new(graph, profile, options).unwrap();
        steps.extend(plan.steps.into_iter().map(|step| (step.source(), step)));
    };
    for graph in graphs() {
        for class in [DeviceClass::Discrete, DeviceClass::Integrated, DeviceClass::Software] {
            for options in options() {
                for subgroup_size in [None, Some(4), Some(8)] {
                    add(&graph, &DeviceProfile { subgroup_size, ..DeviceProfile::portable(class) }, &options);
                }
            }
        }
    }
    for row in case::canonical().unwrap() {
        let graph = row.graph(1).unwrap();
        for class in [DeviceClass::Discrete, DeviceClass::Software] {
            add(&graph, &DeviceProfile::portable(class), &PlanOptions::default());
        }
    }
    for plan in bench::peak_plans(&DeviceProfile::portable(DeviceClass::Discrete)) {
        steps.extend(plan.steps.into_iter().map(|step| (step.source(), step)));
    }
    steps
});

fn at(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Stems and texts of the `.wgsl` files in a folder.
fn files(folder: &str) -> Vec<(String, String)> {
    let paths = fs::read_dir(at(folder)).unwrap().map(|file| file.unwrap().path());
    let wgsl = paths.filter(|path| path.extension().is_some_and(|extension| extension == "wgsl"));
    wgsl.map(|path| (path.file_stem().unwrap().to_string_lossy().into(), fs::read_to_string(&path).unwrap())).collect()
}

/// The shaders that compute: a folder's name comes before its files' stems.
fn computing() -> Vec<(String, String)> {
    let convs = files("shaders/conv").into_iter().map(|(stem, text)| (format!("conv_{stem}"), text));
    files("shaders").into_iter().chain(convs).collect()
}

/// What a folder holds, without endings.
fn names(folder: &str) -> BTreeSet<String> {
    let paths = fs::read_dir(at(folder)).unwrap().map(|entry| entry.unwrap().path());
    paths.map(|path| path.file_stem().unwrap().to_string_lossy().into()).collect()
}

fn has_matrices(source: &str) -> bool {
    source.contains("enable wgpu_cooperative_matrix;")
}

fn parsed(source: &str) -> (Module, ModuleInfo) {
    let module = naga::front::wgsl::parse_str(source).unwrap_or_else(|e| panic!("{}", e.emit_to_string(source)));
    // No capability: what every adapter takes. But for f16, subgroups and matrices, which must be asked for.
    let mut capabilities = Capabilities::empty();
    capabilities.set(Capabilities::SHADER_FLOAT16, source.starts_with("enable f16;"));
    capabilities.set(Capabilities::SUBGROUP, source.contains("@builtin(subgroup_"));
    capabilities.set(Capabilities::COOPERATIVE_MATRIX, has_matrices(source));
    let info = Validator::new(ValidationFlags::all(), capabilities).validate(&module);
    (module, info.unwrap_or_else(|e| panic!("{}\n{source}", e.emit_to_string(source))))
}

/// A source of each kernel.
fn of_each_shader() -> Vec<(&'static Shader, &'static String)> {
    let mut found = BTreeMap::new();
    for (source, step) in STEPS.iter() {
        found.entry(step.shader.stem).or_insert((step.shader, source));
    }
    for shader in kernels::shaders() {
        assert!(found.contains_key(shader.stem), "no graph here uses '{}'", shader.stem);
    }
    found.into_values().collect()
}

#[test]
fn every_source_becomes_spirv_msl_and_hlsl() {
    assert!(STEPS.len() > 70, "{} sources", STEPS.len());
    for (source, step) in STEPS.iter() {
        let (module, info) = parsed(source);
        let name = format!("'{}', a {}", step.node, step.shader.stem);
        spv::write_vec(&module, &info, &spv::Options::default(), None).unwrap_or_else(|e| panic!("{name}: {e}"));
        let mut options = msl::Options::default();
        if has_matrices(source) {
            // Metal has them from this version on, and DX12 not at all.
            options.lang_version = (2, 3);
        }
        let msl = msl::write_string(&module, &info, &options, &msl::PipelineOptions::default());
        msl.unwrap_or_else(|e| panic!("{name}: {e}"));
        if has_matrices(source) {
            continue;
        }
        let mut text = String::new();
        let (options, pipeline) = (hlsl::Options::default(), hlsl::PipelineOptions::default());
        let hlsl = hlsl::Writer::new(&mut text, &options, &pipeline).write(&module, &info, None);
        hlsl.map(|_| ()).unwrap_or_else(|e| panic!("{name}: {e}"));
    }
}

#[test]
fn every_source_stays_within_the_portable_limits() {
    for (source, step) in STEPS.iter() {
        let (module, _) = parsed(source);
        let profile = DeviceProfile::portable(DeviceClass::Discrete);
        let mut layouter = Layouter::default();
        layouter.update(module.to_ctx()).unwrap();
        let in_space = |space| module.global_variables.iter().filter(move |(_, global)| global.space == space);
        let memory: u32 = in_space(AddressSpace::WorkGroup).map(|(_, global)| layouter[global.ty].size).sum();
        let storage = module.global_variables.iter().filter(|(_, g)| matches!(g.space, AddressSpace::Storage { .. }));
        let invocations: u32 = module.entry_points[0].workgroup_size.iter().product();
        let name = format!("'{}', a {}", step.node, step.shader.stem);
        assert!(memory <= profile.workgroup_memory, "{name}: {memory} bytes of workgroup memory");
        assert!(invocations <= profile.max_invocations, "{name}: {invocations} invocations");
        let bound = storage.count();
        assert!(bound <= profile.max_storage_buffers as usize, "{name}: {bound} storage buffers");
        assert_eq!(bound, step.bindings.len(), "{name}: what the shader binds and the step");
        assert!(module.overrides.is_empty(), "{name}");
    }
}

#[test]
fn params_are_the_same_in_both_languages() {
    for (shader, source) in of_each_shader() {
        let (module, _) = parsed(source);
        let is_params = |global: &&naga::GlobalVariable| global.space == AddressSpace::Uniform;
        let globals: Vec<_> = module.global_variables.iter().map(|(_, global)| global).filter(is_params).collect();
        let [params] = globals.as_slice() else { panic!("{}: {} uniforms", shader.stem, globals.len()) };
        let binding = params.binding.unwrap();
        assert_eq!((binding.group, binding.binding), (0, shader.params_binding), "{}", shader.stem);
        let scalar = |ty| match module.types[ty].inner {
            TypeInner::Scalar(scalar) if scalar == naga::Scalar::U32 => "u32",
            TypeInner::Scalar(scalar) if scalar == naga::Scalar::I32 => "i32",
            TypeInner::Scalar(scalar) if scalar == naga::Scalar::F32 => "f32",
            _ => "no scalar of 32 bits",
        };
        let agree = |ty: naga::Handle<naga::Type>, fields: Fields| {
            let TypeInner::Struct { members, .. } = &module.types[ty].inner else { panic!("{}", shader.stem) };
            let wgsl: Vec<_> = members.iter().map(|m| (m.name.as_deref().unwrap(), scalar(m.ty), m.offset)).collect();
            let rust: Vec<_> = fields.iter().zip(0..).map(|((name, ty), i)| (*name, *ty, 4 * i)).collect();
            assert_eq!(wgsl, rust, "{}", shader.stem);
        };
        if shader.tables.is_empty() {
            agree(params.ty, shader.params);
            continue;
        }
        // Arrays of structs, one behind the other, without holes.
        let TypeInner::Struct { members, .. } = &module.types[params.ty].inner else { panic!("{}", shader.stem) };
        assert_eq!(members.len(), shader.tables.len(), "{}", shader.stem);
        for (member, (name, fields)) in members.iter().zip(shader.tables) {
            let TypeInner::Array { base, stride, .. } = module.types[member.ty].inner else {
                panic!("{}", shader.stem)
            };
            assert_eq!(module.types[base].name.as_deref(), Some(*name));
            assert_eq!(stride as usize, 4 * fields.len());
            agree(base, fields);
        }
    }
}

/// A step's bindings are the shader's: the same slots, written where the shader may write.
#[test]
fn bindings_are_the_same_in_both_languages() {
    for (source, step) in STEPS.iter() {
        let (module, _) = parsed(source);
        let slots = module.global_variables.iter().filter_map(|(_, global)| match global.space {
            AddressSpace::Storage { access } => {
                Some((global.binding.unwrap().binding, access.contains(naga::StorageAccess::STORE)))
            }
            _ => None,
        });
        let bound = step.bindings.iter().map(|binding| (binding.slot, binding.written));
        assert_eq!(slots.collect::<BTreeSet<_>>(), bound.collect(), "{}", step.shader.stem);
    }
}

#[test]
fn there_is_one_entry_point_called_like_the_file() {
    for (shader, source) in of_each_shader() {
        let (module, _) = parsed(source);
        let [entry] = module.entry_points.as_slice() else { panic!("{} entry points", module.entry_points.len()) };
        assert_eq!(entry.stage, ShaderStage::Compute);
        // WGSL reserves the word `layout`.
        let name = if shader.stem == "layout" { "relayout" } else { shader.stem };
        assert_eq!(entry.name, name);
    }
}

#[test]
fn a_file_starts_with_what_it_computes_and_how_it_is_dispatched() {
    for (stem, text) in computing().into_iter().chain(files("shaders/peak")) {
        let header: Vec<&str> = text.lines().take_while(|line| line.starts_with("//")).collect();
        assert!(header.len() >= 3, "{stem}: {header:?}");
        let says = |what: &str| header.iter().any(|line| line.contains(what));
        assert!(says("="), "{stem}: no formula");
        assert!(says("One invocation makes") || says("workgroup makes"), "{stem}: what is made by whom?");
        assert!(says("Dispatch: "), "{stem}: no dispatch");
    }
    for (stem, text) in files("shaders/shared") {
        assert!(text.contains("//"), "{stem}: not a word of comment");
    }
}

/// The names in one folder and not in the other are these.
fn assert_alike(a: &str, b: &str, only: &[&str]) {
    let (a, b) = (names(a), names(b));
    let differing: BTreeSet<&str> = a.symmetric_difference(&b).map(String::as_str).collect();
    assert_eq!(differing, only.iter().copied().collect());
}

#[test]
fn folders_read_alike() {
    // Pieces, and what measures devices, are no kernels.
    assert_alike("src/kernels", "shaders", &["mod", "peak", "shared"]);
    assert_alike("src/kernels/conv", "shaders/conv", &["mod", "choice", "jobs", "parts", "tile"]);
    assert_alike("src/ops", "src/reference", &["window", "compare"]);
}

#[test]
fn every_shader_and_every_operation_has_its_twins() {
    let files = computing();
    let stems: BTreeSet<&str> = files.iter().map(|(stem, _)| stem.as_str()).collect();
    let listed = kernels::shaders();
    assert_eq!(stems, listed.iter().map(|shader| shader.stem).collect(), "kernels::shaders");
    assert_eq!(listed.len(), stems.len(), "a shader is listed twice");
    for (stem, text) in &files {
        assert!(listed.iter().any(|shader| shader.stem == stem && shader.text == text), "{stem} includes another file");
    }
    let main = fs::read_to_string(at("tests/gpu/main.rs")).unwrap();
    let all: BTreeSet<&str> = stems.iter().chain(Op::STEMS).copied().collect();
    for stem in all {
        let twin = format!("tests/gpu/{stem}.rs");
        let tested = fs::read_to_string(at(&twin)).unwrap_or_else(|e| panic!("{twin}: {e}"));
        assert!(tested.contains("#[test]"), "{twin} tests nothing");
        assert!(main.contains(&format!("\nmod {stem};")), "tests/gpu/main.rs does not declare {stem}");
    }
}

#[test]
fn every_shader_that_measures_is_measured_with() {
    for (stem, text) in files("shaders/peak") {
        let uses = |step: &Step| step.shader.stem == stem && step.shader.text == text;
        assert!(STEPS.values().any(uses), "{stem} is used by no plan of bench::peak_plans");
    }
}

#[test]
fn no_shared_piece_is_unused() {
    let used: BTreeMap<&str, &str> = STEPS
        .values()
        .flat_map(|step| step.shader.pieces.iter().chain(&step.pieces))
        .map(|piece| (piece.stem, piece.text))
        .collect();
    let shared = files("shaders/shared");
    let there: BTreeMap<&str, &str> = shared.iter().map(|(stem, text)| (stem.as_str(), text.as_str())).collect();
    assert_eq!(used, there);
}

#[test]
fn files_keep_to_the_rules() {
    for (stem, text) in ["shaders", "shaders/conv", "shaders/peak", "shaders/shared"].into_iter().flat_map(files) {
        for banned in ["\t", "atomic", "override ", "enable "] {
            assert!(!text.contains(banned), "{stem}: {banned:?}");
        }
        assert!(text.lines().all(|line| line.chars().count() <= 120), "{stem}: a long line");
        assert!(text.ends_with('\n') && !text.ends_with("\n\n"), "{stem}: its end");
    }
}
