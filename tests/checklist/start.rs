//! Checklist 61: code that runs before any export is called, in constructors of native plugins and in start functions
//! of wasm modules, obeys the rules of `_initialize`.

use std::time::Duration;

use dynvm::{CallbackBudget, FailureKind, Module, StartError, Vm, VmConfig};

use super::backend;
use harness::compile;
use harness::{Backend, Harness, lines, loader_with, parts};

/// A plugin that runs these hostcalls in its constructor or start function.
fn plugin(deed: &str) -> Module {
    let loader = loader_with(|_options| {
        #[cfg(feature = "wasm")]
        (_options.wasm.cpu_limit = dynvm::wasm::CpuLimit::Time(Duration::from_secs(60)));
    });
    match backend() {
        Backend::Native => {
            let define = format!("DEED={deed}");
            loader.load_file(compile::plugin(Backend::Native, "start.c", &[&define])).unwrap()
        }
        Backend::Wasm => {
            let text = include_str!("../plugins/start.wat").replace("DEED", deed);
            loader.load_bytes("start.wat", text.as_bytes()).unwrap()
        }
        Backend::Null => unreachable!("the plugins of these tests are not linked into the program"),
    }
}

/// The error of the start, with the log.
fn failure(module: &Module, config: VmConfig) -> (dynvm::Failure, Vec<String>) {
    let parts = parts();
    let log = parts.log.clone();
    match Vm::builder(module).config(config).services(parts.services).build() {
        Err(StartError::Failed { failure, function, .. }) => {
            assert_eq!(function, "its start function");
            assert!(parts.timers.0.borrow().is_empty(), "nothing was carried out");
            (failure, lines(&log))
        }
        Err(error) => panic!("another error: {error:?}"),
        Ok(_) => panic!("it starts"),
    }
}

#[test]
fn may_log() {
    let harness = Harness::of(&plugin("logs"), VmConfig::default(), "");
    assert_eq!(harness.log(), ["from the start"]);
}

#[test]
fn may_do_nothing_else() {
    for (deed, hostcall) in
        [("sets_a_tick", "proxy_set_tick_period_milliseconds"), ("defines_a_metric", "proxy_define_metric")]
    {
        let (failure, _) = failure(&plugin(deed), VmConfig::default());
        assert_eq!(failure.kind, FailureKind::Restricted, "{failure}");
        assert!(failure.message.contains(&format!("{hostcall} before it was started")), "{failure}");
    }
}

#[test]
fn may_trap() {
    let (failure, _) = failure(&plugin("traps"), VmConfig::default());
    assert_eq!(failure.kind, FailureKind::Trap, "{failure}");
}

#[test]
fn is_watched() {
    let mut config = VmConfig::default();
    config.callback_budget = Some(CallbackBudget::report(Duration::from_millis(40)));
    let log = Harness::of(&plugin("takes_long"), config, "").log();
    assert!(log.iter().any(|line| line.contains("has been in its start functions for")), "{log:?}");
}

#[test]
fn is_stopped() {
    let mut config = VmConfig::default();
    config.callback_budget = Some(CallbackBudget::fail(Duration::from_millis(40)));
    let (failure, _) = failure(&plugin("takes_long"), config);
    assert_eq!(failure.kind, FailureKind::Limit, "{failure}");
}
