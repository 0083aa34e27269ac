//! What cannot be part of a program is refused, with the fact and a remedy.

use std::fs;
use std::path::Path;

use dynvm_link::{Plugin, StateModel, Target, plugin};

use crate::fixture::{GNU, MUSL, tests};

const MARKER: &str = "void proxy_abi_version_0_2_1(void) {}\nunsigned proxy_on_vm_start(unsigned a, unsigned long b)";

/// Links a plugin for which that cannot work, and returns the message.
fn refusal(plugin: Plugin, triple: &str, dir: &Path) -> String {
    let target = Target { triple: triple.to_owned(), out_dir: dir.to_owned(), debug_info: false };
    let error = plugin.link(&target).expect_err("it is refused");
    format!("{error:?}")
}

/// Compiles a plugin in C, and expects words in the message.
fn refused(source: &str, expected: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("bad-plugin.c");
    fs::write(&file, source).unwrap();
    let message = refusal(plugin(&file), GNU, dir.path());
    for words in [&["bad-plugin.c was not linked"], expected].concat() {
        assert!(message.contains(words), "{words:?} in {message}");
    }
}

#[needs::cc]
#[needs::lld]
#[test]
fn no_plugin() {
    refused("int f(void) { return 1; }", &["exports none of", "proxy_abi_version_0_2_1"]);
}

#[needs::cc]
#[needs::lld]
#[test]
fn two_versions_of_the_abi() {
    refused(
        &format!("void proxy_abi_version_0_1_0(void) {{}}\n{MARKER} {{ return 1; }}"),
        &["0.1.0 and 0.2.1", "one SDK"],
    );
}

#[needs::cc]
#[needs::lld]
#[test]
fn a_hostcall_that_is_misspelled_or_of_another_version() {
    let source = |call: &str| format!("unsigned {call}(void);\n{MARKER} {{ return {call}(); }}");
    refused(&source("proxy_dune"), &["0.2.1", "proxy_dune", "spelling"]);
    refused(&source("proxy_continue_request"), &["proxy_continue_request (only in 0.1.0)"]);
}

#[needs::cc]
#[needs::lld]
#[test]
fn a_function_that_nobody_defines() {
    refused(
        &format!("int nowhere(void);\n{MARKER} {{ return nowhere(); }}"),
        &["nothing defines nowhere", ".library("],
    );
}

#[needs::cc]
#[needs::lld]
#[test]
fn statics_that_other_plugins_would_share() {
    refused(
        &format!("__attribute__((common)) int shared;\n{MARKER} {{ return shared; }}"),
        &["`shared`", "-fno-common"],
    );
}

#[needs::cc]
#[needs::lld]
#[test]
fn statics_that_cannot_be_set_back() {
    let source = format!("__attribute__((section(\"elsewhere\"))) int counter = 1;\n{MARKER} {{ return counter++; }}");
    refused(&source, &["elsewhere", "set back", "PerThread"]);
}

#[needs::cc]
#[needs::lld]
#[test]
fn options_that_make_no_sense() {
    let dir = tempfile::tempdir().unwrap();
    let plain = || plugin(tests().join("plugins/plain.c"));
    for (bad, expected) in [
        (plain().slots(0), "0 slots"),
        (plain().slots(2).state(StateModel::PerThread), "remove `.slots(..)`"),
        (plain().name("a b"), "`.name(..)`"),
        (plain().sdk(dir.path()), "is not the C++ SDK"),
        (plain().library("of-which-there-is-none"), "of-which-there-is-none"),
        (plugin(tests().join("plugins/sdk-current")).sdk(dir.path()), "remove `.sdk(..)`"),
        (plugin(tests().join("plugins/missing")), "plugins/missing"),
        (plugin(dir.path()), "contains no plugin"),
    ] {
        let message = refusal(bad, GNU, dir.path());
        assert!(message.contains(expected), "{expected:?} in {message}");
    }
    for triple in ["x86_64-pc-windows-msvc", "riscv64gc-unknown-linux-gnu", "aarch64-apple-darwin"] {
        let message = refusal(plain(), triple, dir.path());
        assert!(message.contains(triple) && message.contains("wasm"), "{message}");
    }
    if std::env::var_os("CC").is_none() && std::env::var_os("CXX").is_none() {
        let message = refusal(plain(), MUSL, dir.path());
        assert!(message.contains(MUSL) && message.contains("set CC and CXX"), "{message}");
    }
}

#[needs::cc]
#[needs::lld]
#[test]
fn a_plugin_that_does_not_compile() {
    refused("int f(", &["error:", "bad-plugin"]);
}
