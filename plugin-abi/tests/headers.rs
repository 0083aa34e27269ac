//! The headers compile under every promised standard of C and C++, alone and twice, and define nothing.

mod common;

use std::fmt::Write;

use dynvm_abi::version::{AbiVersion, HEADER_VERSION_MAJOR, HEADER_VERSION_MINOR};

const C: &[&str] = &["-std=c99", "-std=c11", "-std=c17", "-std=c2x"];
const CXX: &[&str] = &["-std=c++11", "-std=c++14", "-std=c++17", "-std=c++20"];

/// Every standard with the compiler's command and the language flags.
fn standards() -> impl Iterator<Item = (fn() -> std::process::Command, [&'static str; 3])> {
    let c = C.iter().map(|std| (common::cc as fn() -> _, [*std, "-x", "c"]));
    let cxx = CXX.iter().map(|std| (common::cxx as fn() -> _, [*std, "-x", "c++"]));
    c.chain(cxx)
}

#[needs::cxx]
#[test]
fn two_units_include_everything_twice_and_link() {
    let dir = tempfile::tempdir().unwrap();
    for (compiler, flags) in standards() {
        let source = common::data("twice.c");
        let objects = [dir.path().join("first.o"), dir.path().join("second.o")];
        common::compile(compiler(), &flags, &source, &objects[0]);
        let second = [flags.as_slice(), &["-DSECOND"]].concat();
        common::compile(compiler(), &second, &source, &objects[1]);
        let program = dir.path().join("program");
        common::run(compiler().args(&objects).arg("-o").arg(&program));
        common::run(&mut std::process::Command::new(&program));
    }
}

#[needs::cxx]
#[test]
fn each_header_compiles_alone() {
    let dir = tempfile::tempdir().unwrap();
    let headers = common::headers();
    assert!(headers.len() >= 9, "{headers:?}");
    for (i, header) in headers.iter().enumerate() {
        let source = dir.path().join(format!("alone{i}.c"));
        // ISO C requires a declaration in every unit.
        let text = format!("#include \"{header}\"\nextern int dynvm_test_unit;\n");
        std::fs::write(&source, text).unwrap();
        for (compiler, flags) in standards() {
            common::compile(compiler(), &flags, &source, &dir.path().join("alone.o"));
        }
    }
}

#[test]
fn the_umbrella_includes_every_stable_header() {
    let umbrella = std::path::Path::new(dynvm_abi::INCLUDE_DIR).join("dynvm/dynvm.h");
    let umbrella = std::fs::read_to_string(umbrella).unwrap();
    for header in common::headers() {
        let name = header.strip_prefix("dynvm/").unwrap();
        let included = umbrella.contains(&format!("#include \"{name}\""));
        let expected = name != "dynvm.h" && !name.starts_with("ext/draft/");
        assert_eq!(included, expected, "{header}");
    }
}

#[needs::cxx]
#[test]
fn version_macros_and_the_derived_ones() {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("version");
    let mut defines =
        vec![format!("-DEXPECTED_MAJOR={HEADER_VERSION_MAJOR}"), format!("-DEXPECTED_MINOR={HEADER_VERSION_MINOR}")];
    for version in AbiVersion::ALL {
        let name = version.to_string().replace('.', "_");
        defines.push(format!("-DEXPECTED_{name}={}", version.number()));
    }
    for (compiler, flags) in standards() {
        let printed = common::run(
            compiler()
                .args(common::STRICT)
                .args(flags)
                .args(&defines)
                .arg(common::data("version.c"))
                .arg("-o")
                .arg(&program),
        );
        assert_eq!(printed, "");
        let printed = common::run(&mut std::process::Command::new(&program));
        let mut expected = String::new();
        writeln!(expected, "{HEADER_VERSION_MAJOR}.{HEADER_VERSION_MINOR}").unwrap();
        assert_eq!(printed, expected);
    }
}

#[test]
fn the_rust_predicate_is_the_one_of_the_header() {
    use dynvm_abi::version::{HEADER_VERSION, is_compatible};
    assert!(is_compatible(HEADER_VERSION));
    assert!(is_compatible(HEADER_VERSION + 1));
    assert!(!is_compatible(HEADER_VERSION + 0x1_0000));
    assert!(!is_compatible(0));
}

/// The headers in the crate are exactly those of its folder.
#[test]
fn all_headers_are_carried() {
    fn count(dir: &std::path::Path) -> usize {
        let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
        entries.map(|path| if path.is_dir() { count(&path) } else { 1 }).sum()
    }
    let root = std::path::Path::new(dynvm_abi::INCLUDE_DIR);
    for (name, text) in dynvm_abi::HEADERS {
        assert_eq!(std::fs::read_to_string(root.join(name)).unwrap(), *text);
    }
    assert_eq!(dynvm_abi::HEADERS.len(), count(root));
}
