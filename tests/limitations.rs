//! What VMs of a plugin lack, as its module, inspections and metrics say.

use dynvm::inspect::inspect_file;
use dynvm::native::{Interpose, Loading, Options};
use dynvm::observe::Observer;
use dynvm::{Loader, Protection, VmConfig};
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

#[needs::wasm_clang]
#[test]
fn most_plugins_lack_nothing() {
    assert_eq!(limitations(&loader(), "limits.c", &[]), [""; 0]);
    assert_eq!(harness::probe(Backend::Wasm, &[]).info().limitations, []);
}

/// By what a plugin does.
#[needs::cxx]
#[test]
fn plugins_lack_what_they_prevent() {
    let of = |define| limitations(&loader(), "limits.c", &[define]);
    assert_eq!(of("CALLS=setenv"), ["environment: it uses setenv, which is of the process's environment"]);
    assert_eq!(of("CALLS=openlog"), ["unloading: it calls openlog, by which its addresses stay with others"]);
    let recursion = "recursion: recursion through the C library's malloc ends the process";
    assert_eq!(of("CALLS=argz_add"), [recursion, "heap: it calls argz_add, which resizes or frees its memory"]);
    assert_eq!(of("DEFINES_MALLOC"), [recursion, "heap: it defines malloc"]);
    let recursion = "recursion: recursion through libstdc++.so.6 ends the process: link it statically with that";
    assert_eq!(limitations(&loader(), "crash.cc", &[]), [recursion]);
    assert_eq!(limitations(&loader(), "crash.cc", &["STATIC"]), [""; 0]);
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
    let path = compile::plugin(Backend::Native, "limits.c", &["CALLS=dlopen"]);
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
