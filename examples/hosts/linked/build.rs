//! Links three plugins into the program: in Rust, in Rust on an older SDK, and in C++.
//!
//! A program would end its build on an error. This one is built with all others of the workspace, also where there is no compiler for C++.

use dynvm_link::{Plugin, plugin};

fn main() {
    link("header_rewrite", plugin("../../plugins/header-rewrite"));
    link("sdk_old", plugin("../../../crates/link/tests/plugins/sdk-old").slots(2));
    link("cxx", plugin("../../../crates/link/tests/plugins/plain.cc"));
}

fn link(name: &str, plugin: Plugin) {
    println!("cargo::rustc-check-cfg=cfg({name})");
    match plugin.name(name).emit() {
        Ok(()) => println!("cargo::rustc-cfg={name}"),
        Err(error) => println!("cargo::warning={}", error.to_string().replace('\n', " ")),
    }
}
