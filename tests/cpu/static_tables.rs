//! Whether benches/static has what compilers make of today's kernels.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use spp_wgpu::case::canonical;
use spp_wgpu::plan::NamedProfile;
use spp_wgpu::{DeviceClass, Plan, PlanOptions, Precision};

use crate::shader_files::{assert_found, assert_none, at};

const RENEW: &str = "benches/static is not of today's kernels. `scripts/gpu-static setup`, once, and `scripts/gpu-static tables` \
    renew it, on Debian or Ubuntu on x86-64. Without such a machine, leave it as it is and say so with your change: nothing \
    else depends on it, and whoever merges the change can renew it.";

/// Chips that none of Mesa's drivers is for.
const WITHOUT_PAGE: [&str; 1] = ["gh100"];

/// Names and sources of the kernels of all published shapes, in f32 and in f16, for each chip that is no processor.
fn kernels() -> BTreeMap<&'static str, BTreeMap<String, String>> {
    let has_page =
        |named: &&NamedProfile| named.profile.class != DeviceClass::Software && !WITHOUT_PAGE.contains(&named.name);
    let mut kernels: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
    for row in canonical().unwrap() {
        let graph = row.graph(0).unwrap();
        for named in NamedProfile::all().iter().filter(has_page) {
            for precision in [Precision::F32, Precision::F16] {
                let plan = Plan::new(&graph, &named.profile, &PlanOptions::default().precision(precision)).unwrap();
                for step in &plan.steps {
                    let source = step.source();
                    let other = kernels.entry(named.name).or_default().insert(step.kernel_name(), source.clone());
                    assert!(other.is_none_or(|other| other == source), "two kernels are called {}", step.kernel_name());
                }
            }
        }
    }
    kernels
}

/// Of what compilers see of the kernels, in the order of their names: FNV-1a, as in scripts/gpu-static.d/tables.py.
fn checksum(kernels: &BTreeMap<String, String>) -> String {
    let lines = kernels.values().flat_map(|source| source.lines());
    let code = lines.map(|line| line.split("//").next().unwrap().trim()).filter(|line| !line.is_empty());
    let add = |sum: u64, byte: u8| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let sum = code.fold(0xcbf2_9ce4_8422_2325, |sum, line| add(line.bytes().fold(sum, add), b'\n'));
    format!("{sum:016x}")
}

/// In what a page differs from the kernels it should be of.
fn stale(page: &str, kernels: &BTreeMap<String, String>) -> Vec<String> {
    let rows = page.lines().filter_map(|line| line.strip_prefix("| ")?.split(' ').next());
    let rows: BTreeSet<&str> = rows.filter(|name| !["kernel", "---"].contains(name)).collect();
    let planned: BTreeSet<&str> = kernels.keys().map(String::as_str).collect();
    let missing = planned.difference(&rows).map(|name| format!("{name} is missing"));
    let mut faults: Vec<String> = missing.collect();
    faults.extend(rows.difference(&planned).map(|name| format!("{name} is no longer planned")));
    if faults.is_empty() && !page.contains(&format!("<!-- of kernels {} -->", checksum(kernels))) {
        faults.push("its kernels have changed".into());
    }
    faults
}

#[test]
#[ignore = "kernels change more often than their tables; .ci/run has this as its last step"]
fn tables_are_of_todays_kernels() {
    let mut faults = Vec::new();
    for (chip, kernels) in kernels() {
        let found = match fs::read_to_string(at(&format!("benches/static/{chip}.md"))) {
            Ok(page) => stale(&page, &kernels),
            Err(error) => vec![error.to_string()],
        };
        faults.extend(found.into_iter().map(|fault| format!("{chip}: {fault}")));
    }
    assert!(faults.is_empty(), "{}\n{RENEW}", faults.join("\n"));
}

#[test]
fn stale_tables_are_found() {
    let kernels = |source: &str| BTreeMap::from([("a-x1".into(), source.into()), ("b".into(), "fn b() {}\n".into())]);
    let now = kernels("fn a() {} // why\n\n  // what\n");
    let page = format!(
        "# chip\n\n| kernel | cases |\n| --- | --- |\n| a-x1 | 2 |\n| b | 1 |\n\n<!-- of kernels {} -->\n",
        checksum(&now)
    );
    assert_none(stale(&page, &now));
    assert_none(stale(&page, &kernels("fn a() {}")));
    assert_found(&stale(&page, &kernels("fn a() { return; }")), "its kernels have changed");
    assert_found(&stale(&page.replace("| b | 1 |\n", ""), &now), "b is missing");
    assert_found(&stale(&page.replace("| b |", "| c |\n| b |"), &now), "c is no longer planned");
    assert_found(&stale("", &now), "a-x1 is missing");
}
