//! The measured artifacts and the environment.

use super::card;
use crate::ab::environment::Environment;
use crate::ab::report::html::format;
use crate::ab::report::html::markup::Markup;
use crate::ab::report::{Build, Report};

pub fn write(main: &mut Markup, report: &Report) {
    main.tag("div", &[("class", &"pair")], |pair| {
        card(pair, "The builds", |card| {
            for (name, build) in report.builds() {
                card.text_tag("h3", &[("class", &name)], name);
                list(card, &facts_of(build));
            }
        });
        card(pair, "The machine", |card| list(card, &machine(report)));
    });
}

type Facts = Vec<(&'static str, String)>;

fn list(page: &mut Markup, facts: &Facts) {
    page.tag("dl", &[], |list| {
        for (name, value) in facts {
            list.text_tag("dt", &[], name);
            list.text_tag("dd", &[], value);
        }
    });
}

fn facts_of(build: &Build) -> Facts {
    let mut facts = vec![
        ("file", build.path.clone()),
        ("size", format::size(build.size_bytes as f64)),
        ("SHA-256", build.sha256.clone()),
        ("ABI", build.abi_version.clone()),
    ];
    facts.push(("SDK", build.sdk.clone().unwrap_or_else(|| "unknown".to_owned())));
    if !build.toolchain.is_empty() {
        facts.push(("built by", build.toolchain.join("; ")));
    }
    facts.extend(build.linking().map(|linking| ("linked into a program", linking)));
    facts
}

fn machine(report: &Report) -> Facts {
    let Environment { cpu, cpus, virtual_machine, governor, frequency_mhz, memory_bytes, kernel, .. } =
        &report.environment;
    let environment = &report.environment;
    let unknown = || "unknown".to_owned();
    let or_unknown = |value: &Option<String>| value.clone().unwrap_or_else(unknown);
    let kind = match virtual_machine {
        Some(true) => ", virtual",
        _ => "",
    };
    let mut facts = vec![
        ("processor", format!("{}, {cpus} CPUs{kind}", or_unknown(cpu))),
        ("frequency", frequency_mhz.map_or_else(unknown, |mhz| format!("{mhz:.0} MHz"))),
        ("governor", or_unknown(governor)),
        ("memory", memory_bytes.map_or_else(unknown, |bytes| format!("{:.1} GiB", bytes as f64 / 1_073_741_824.0))),
        ("system", format!("{}, kernel {}", or_unknown(&environment.distribution), or_unknown(kernel))),
        ("C library", environment.glibc.as_ref().map_or_else(unknown, |version| format!("glibc {version}"))),
        ("DynVM", format!("{}, built by rustc {}", environment.dynvm, environment.rustc)),
        ("wasmtime", environment.wasmtime.to_owned()),
    ];
    if let Some(noise) = &report.noise {
        let number = |value: Option<f64>| value.map_or_else(unknown, |value| format!("{value:.2}"));
        facts.push(("load", format!("{} before, {} after", number(noise.load_start), number(noise.load_end))));
        if let Some(steal) = noise.steal {
            facts.push(("taken by the hypervisor", format!("{:.1} % of CPU time", steal * 100.0)));
        }
        if let Some(preemptions) = noise.preemptions {
            facts.push(("preempted", format!("{preemptions} times")));
        }
    }
    facts
}
