//! Links the plugins. Without an LLD, or a compiler for one of them, their tests are skipped, and the plugins are missing here too.

use std::path::Path;

use dynvm_link::{Plugin, StateModel, plugin};

fn main() {
    let plugins = Path::new("../../crates/link/tests/plugins");
    link("shared", plugin(plugins.join("sdk-current")).state(StateModel::PerThread));
    link("slots", plugin(plugins.join("sdk-old")).slots(2));
    link("threads", plugin(plugins.join("sdk-old")).slots(1));
    link("c", plugin(plugins.join("plain.c")).slots(2));
    link("cxx", plugin(plugins.join("plain.cc")).slots(64));
    link("crashes", plugin("../plugins/crash.cc").slots(2));
}

fn link(name: &str, plugin: Plugin) {
    println!("cargo::rustc-check-cfg=cfg(has_{name})");
    match plugin.name(name).emit() {
        Ok(()) => println!("cargo::rustc-cfg=has_{name}"),
        Err(error) => println!("cargo::warning={}", error.to_string().replace('\n', " ")),
    }
}
