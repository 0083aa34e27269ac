//! What VMs of a plugin lack, as its module, inspections and metrics say.

use std::process::Command;

use dynvm::inspect::inspect_file;
use dynvm::native::{Interpose, Loading, Options};
use dynvm::observe::Observer;
use dynvm::{Loader, PinReason, Protection, VmConfig};
use harness::{Backend, Harness, compile, loader, loader_with, parts};

fn with(options: Options) -> Loader {
    loader_with(|loader| loader.native = Some(options))
}

/// The limitations of a plugin as text, which its module and an inspection have alike.
#[track_caller]
fn limitations(loader: &Loader, source: &str, defines: &[&str]) -> Vec<String> {
    let path = compile::plugin(Backend::Native, source, defines);
    let module = loader.load_file(&path).unwrap();
    assert_eq!(inspect_file(loader, &path).unwrap().limitations, module.info().limitations);
    module.info().limitations.iter().map(ToString::to_string).collect()
}

fn pinned(source: &str, defines: &[&str]) -> Vec<PinReason> {
    loader().load_file(compile::plugin(Backend::Native, source, defines)).unwrap().pinned().to_vec()
}

#[needs::wasm_clang]
#[test]
fn most_plugins_lack_nothing() {
    assert_eq!(limitations(&loader(), "limits.c", &["ORDINARY"]), [""; 0]);
    assert_eq!(pinned("limits.c", &["ORDINARY"]), []);
    for &backend in harness::BACKENDS {
        assert_eq!(harness::probe(backend, &[]).info().limitations, []);
    }
}

/// By what a plugin does.
#[needs::cxx]
#[test]
fn plugins_lack_what_they_prevent() {
    let of = |define| limitations(&loader(), "limits.c", &[define]);
    assert_eq!(of("CALLS=setenv"), ["environment: it uses setenv, which is of the process's environment"]);
    assert_eq!(of("CALLS=openlog"), ["unloading: it calls openlog, by which its addresses may stay with others"]);
    let recursion = "recursion: recursion through the C library's malloc ends the process";
    assert_eq!(of("CALLS=argz_add"), [recursion, "heap: it calls argz_add, which may resize or free its memory"]);
    assert_eq!(of("DEFINES_MALLOC"), [recursion, "heap: it defines malloc"]);
    let recursion = "recursion: recursion through libstdc++.so.6 ends the process: link it statically with that";
    assert_eq!(limitations(&loader(), "crash.cc", &[]), [recursion]);
    assert_eq!(limitations(&loader(), "crash.cc", &["STATIC"]), [""; 0]);
}

/// A function of the C library that the loader does not know may have every effect: it is named.
#[needs::cc]
#[test]
fn functions_that_are_not_known() {
    let lacking = limitations(&loader(), "limits.c", &["CALLS=vmsplice"]);
    let reasons = [
        "recursion: recursion through the C library's malloc ends the process",
        "heap: it calls vmsplice, which may resize or free its memory",
        "unloading: it calls vmsplice, by which its addresses may stay with others",
    ];
    assert_eq!(lacking, reasons);
    assert_eq!(pinned("limits.c", &["CALLS=vmsplice"]), [PinReason::Function("vmsplice".to_owned())]);
    // One that is known to act on the thread has no other effect.
    assert_eq!(pinned("limits.c", &["CALLS=pthread_kill"]), [PinReason::Function("pthread_kill".to_owned())]);
    assert_eq!(limitations(&loader(), "limits.c", &["CALLS=pthread_kill"]), [""; 0]);
}

/// Rust's standard library and a static C++ library call known functions alone.
#[needs::cxx]
#[test]
fn standard_libraries() {
    let plugin = compile::output_dir().join(format!("standard-{}.so", std::process::id()));
    let mut rustc = Command::new("rustc");
    rustc.args(["--edition=2024", "--crate-type=cdylib", "-Copt-level=1", "-o"]).arg(&plugin);
    if let Some(target) = compile::target() {
        rustc.args(["--target", &target, "-C"]).arg(format!("linker={}", compile::cc().get_program().display()));
    }
    assert!(rustc.arg(compile::tests_dir().join("plugins/standard.rs")).status().unwrap().success());
    let cxx = compile::plugin(Backend::Native, "standard.cc", &["STATIC"]);
    for (plugin, expected) in [(&plugin, &[Protection::Environment][..]), (&cxx, &[])] {
        let module = loader().load_file(plugin).unwrap();
        let lacking: Vec<_> = module.info().limitations.iter().map(|limitation| limitation.protection).collect();
        assert_eq!((module.pinned(), &*lacking), (&[][..], expected), "{:?}", module.info());
    }
}

/// By the options of the embedder.
#[needs::cc]
#[test]
fn plugins_lack_what_options_turn_off() {
    let of = |options| limitations(&with(options), "limits.c", &[]);
    let options = Options::default();
    let reason = "by option (native::Options::contain_crashes)";
    let expected = ["faults", "exits", "recursion"].map(|name| format!("{name}: {reason}"));
    assert_eq!(of(options.clone().contain_crashes(false)), expected);
    let recursion = "recursion: recursion through the C library's malloc ends the process";
    assert_eq!(of(options.clone().heap(false)), [recursion, "heap: by option (native::Options::heap)"]);
    let expected = ["output", "clock", "random", "environment"]
        .map(|name| format!("{name}: by option (native::Interpose::{name})"));
    assert_eq!(of(options.clone().interpose(Interpose::none())), expected);
    let plain = of(options.loading(Loading::System));
    assert_eq!(plain.len(), 10);
    assert!(
        plain.iter().all(|text| text.ends_with("the system's loader maps it (native::Loading::System)")),
        "{plain:?}"
    );
}

/// An observer has the limitations of modules with VMs.
#[needs::wasm_clang]
#[test]
fn metrics() {
    let observer = Observer::new();
    let mut parts = parts();
    parts.services.observer = Some(observer.clone());
    let path = compile::plugin(Backend::Native, "limits.c", &["CALLS=pthread_kill"]);
    let loader = with(Options::default().heap(false));
    let module = loader.load_file(&path).unwrap();
    let harness = Harness::with(parts, &module, VmConfig::default(), "").map_err(|(error, _)| error).unwrap();
    let page = observer.prometheus();
    let sample = |metric: &str, labels: &str, value: u8| {
        let line = format!("{metric}{{module=\"{}\",backend=\"native\"{labels}}} {value}", module.name());
        assert!(page.lines().any(|found| found == line), "{line} in {page}");
    };
    sample("dynvm_module_limitations", ",protection=\"recursion\"", 1);
    sample("dynvm_module_limitations", ",protection=\"heap\"", 1);
    sample("dynvm_module_pinned", "", 1);
    let seen = &observer.snapshot().modules[0];
    assert!(seen.pinned && seen.limitations.iter().eq(&[Protection::Recursion, Protection::Heap]));
    drop(harness);
    assert!(!observer.snapshot().modules[0].pinned, "of live VMs");
}

/// What would not load has no limitations.
#[needs::cc]
#[test]
fn a_refused_plugin() {
    let path = compile::plugin(Backend::Native, "limits.c", &["CALLS=setenv"]);
    let inspection = inspect_file(&Loader::new().unwrap(), &path).unwrap();
    assert!(inspection.refusal.unwrap().contains("native code is not allowed"));
    assert!(inspection.limitations.is_empty() && inspection.pinned.is_empty());
}
