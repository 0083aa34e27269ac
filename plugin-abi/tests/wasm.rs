//! The same C source as a wasm object: hostcalls become imports of module `env`, callbacks exports, and no header adds either.

mod common;

use std::collections::BTreeSet;
use std::process::Command;

/// A clang that knows wasm32: `$DYNVM_WASM_CC`, else the first of the usual names.
fn clang() -> Command {
    let mut names: Vec<String> = std::env::var("DYNVM_WASM_CC").into_iter().collect();
    names.push("clang".to_owned());
    names.extend((14..=23).rev().map(|version| format!("clang-{version}")));
    for name in &names {
        let targets = Command::new(name).arg("--print-targets").output();
        if targets.is_ok_and(|out| String::from_utf8_lossy(&out.stdout).contains("wasm32")) {
            return Command::new(name);
        }
    }
    panic!(
        "no clang that compiles to wasm32 was found: install it (Debian and Ubuntu: clang) or name it in DYNVM_WASM_CC"
    );
}

/// The imported functions (`module.name`) and the exported functions of an object, from the symbols in `-S` output.
fn linkage(language: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let text = common::run(
        clang()
            .args(common::STRICT)
            .args(["--target=wasm32", "-O1", "-x", language, "-S", "-o", "-"])
            .arg("-I")
            .arg(dynvm_abi::INCLUDE_DIR)
            .arg(common::data("plugin.c")),
    );
    let mut imports = BTreeSet::new();
    let mut exports = BTreeSet::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split([' ', '\t', ',']).filter(|w| !w.is_empty()).collect();
        match *words.as_slice() {
            [".import_module", name, module] => {
                imports.insert(format!("{module}.{name}"));
            }
            [".import_name", symbol, name] => assert_eq!(symbol, name),
            [".export_name", symbol, name] => {
                assert_eq!(symbol, name);
                exports.insert(name.to_owned());
            }
            _ => {}
        }
    }
    (imports, exports)
}

#[needs::wasm_clang]
#[test]
fn imports_and_exports() {
    for language in ["c", "c++"] {
        let (imports, exports) = linkage(language);
        let set = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<BTreeSet<_>>();
        assert_eq!(imports, set(&["env.proxy_get_header_map_value", "env.proxy_log"]));
        assert_eq!(exports, set(&["proxy_abi_version_0_2_1", "proxy_on_memory_allocate", "proxy_on_request_headers"]));
    }
}
