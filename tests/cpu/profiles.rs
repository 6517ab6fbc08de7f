//! Profiles of adapters by name: what would be planned for a GPU that is not there.

use spp_wgpu::case::canonical;
use spp_wgpu::plan::{NamedProfile, Vendor};
use spp_wgpu::{Case, DeviceClass, DeviceProfile, Error, Graph, Plan, PlanOptions};

use crate::fuzz_plans::faults;

/// Every published shape and every case file.
fn graphs() -> impl Iterator<Item = (String, Graph)> {
    let published = canonical().unwrap().into_iter().map(|row| (row.name.clone(), row.graph(1).unwrap()));
    let cases = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/cases");
    let files = std::fs::read_dir(cases).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|extension| extension == "safetensors"));
    let graph = |path: std::path::PathBuf| (path.display().to_string(), Case::open(&path).unwrap().graph().unwrap());
    published.chain(files.map(graph))
}

#[test]
fn every_case_is_planned_for_every_named_profile_within_its_limits() {
    let options = PlanOptions::default();
    for (name, graph) in graphs() {
        for NamedProfile { name: chip, profile, .. } in NamedProfile::all() {
            let plan = Plan::new(&graph, profile, &options).unwrap();
            assert_eq!(faults(&plan, &options), [""; 0], "{name} on {chip}");
        }
    }
}

#[test]
fn names_are_known_and_offer_what_every_adapter_does() {
    for name in DeviceProfile::names() {
        let profile = DeviceProfile::named(name).unwrap();
        let portable = DeviceProfile::portable(profile.class);
        assert!(profile.max_binding >= portable.max_binding && profile.max_buffer >= portable.max_buffer, "{name}");
        assert!(profile.max_invocations >= portable.max_invocations, "{name}");
        assert!(profile.workgroup_memory >= portable.workgroup_memory, "{name}");
        assert!(profile.subgroups.is_some_and(|[fewest, most]| fewest <= most), "{name}");
    }
    let error = DeviceProfile::named("rtx").unwrap_err();
    assert!(matches!(error, Error::InvalidParam { .. }));
    assert!(DeviceProfile::names().iter().all(|name| error.to_string().contains(name)), "{error}");
}

#[test]
fn lanes_are_one_number_only_if_all_subgroups_have_it() {
    let with = |subgroups| DeviceProfile { subgroups, ..DeviceProfile::portable(DeviceClass::Software) };
    for (subgroups, size) in [(None, None), (Some([8, 8]), Some(8)), (Some([4, 8]), None)] {
        assert_eq!(with(subgroups).subgroup_size(), size);
    }
}

#[test]
fn vendors_are_known_by_their_number_or_their_name() {
    let rows = [
        (0x1002, "", Vendor::Amd),
        (0x10de, "NVK", Vendor::Nvidia),
        (0x8086, "", Vendor::Intel),
        (0x106b, "", Vendor::Apple),
        (0x5143, "", Vendor::Qualcomm),
        (0x4d4f_4351, "", Vendor::Qualcomm),
        (0, "Apple M1", Vendor::Apple),
        (0, "AMD Radeon Pro 5500M", Vendor::Amd),
        (0, "Intel(R) Iris(TM) Plus Graphics 655", Vendor::Intel),
        (0x10005, "Apple M1 (G13G A0)", Vendor::Apple),
        (0x10005, "llvmpipe (LLVM 15.0.6, 256 bits)", Vendor::Other),
        (0, "", Vendor::Other),
    ];
    for (id, name, vendor) in rows {
        assert_eq!(Vendor::of(id, name), vendor, "{id:#x} {name}");
    }
}
