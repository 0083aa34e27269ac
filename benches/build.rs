//! Links the measured plugins into the program too. Without an LLD they are missing, which `linked_in` then says.

use dynvm_link::{Plugin, StateModel, plugin};

fn main() {
    let suite = || plugin("../examples/plugins/bench-suite");
    link("suite_shared", suite().state(StateModel::PerThread));
    link("suite_slots", suite().slots(2));
    link("calls", plugin("plugins/calls").slots(2));
}

fn link(name: &str, plugin: Plugin) {
    println!("cargo::rustc-check-cfg=cfg({name})");
    match plugin.name(name).emit() {
        Ok(()) => println!("cargo::rustc-cfg={name}"),
        Err(error) => println!("cargo::warning={}", error.to_string().replace('\n', " ")),
    }
}
