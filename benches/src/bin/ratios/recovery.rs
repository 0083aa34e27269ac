//! The cost of a crash, and of a reload.

use std::hint::black_box;
use std::sync::Arc;

use dynvm::host::NoLog;
use dynvm::{Module, PluginConfig, VmConfig};
use dynvm_benches::Workload;
use dynvm_benches::artifacts::Artifacts;
use dynvm_benches::dynamic::{Dynamic, loader};
use dynvm_rollout::deploy::{Deployment, DeploymentConfig};

use crate::table::{cell, head, interleave, row, timed};

pub fn measure(rounds: usize) -> anyhow::Result<()> {
    let artifacts = Artifacts::calls()?;
    let rewrite = Artifacts::header_rewrite()?;
    let cache = tempfile::tempdir()?;
    let loader = loader(|options| options.wasm.cache_dir = Some(cache.path().to_owned()))?;
    head(&["median (fastest)", "native", "wasm"]);
    let modules = [loader.load_file(&artifacts.native)?, loader.load_file(&artifacts.wasm)?];
    let mut cells = vec!["a VM that serves nothing, started and stopped".to_owned()];
    for module in &modules {
        cells.push(cell(&mut interleave(&mut [timed(|| run(module, false))], rounds)?[0]));
    }
    row(&cells);
    let mut cells = vec!["the same, but it crashes".to_owned()];
    for module in &modules {
        cells.push(cell(&mut interleave(&mut [timed(|| run(module, true))], rounds)?[0]));
    }
    row(&cells);
    let mut cells = vec!["header-rewrite reloaded: read, tried, published".to_owned()];
    for path in [&rewrite.native, &rewrite.wasm] {
        let plugin = PluginConfig::named("bench").configuration(r#"{"request": [{"set": "x-env", "value": "a"}]}"#);
        let config = DeploymentConfig::new(VmConfig::default(), plugin).log(Arc::new(NoLog));
        let deployment = Deployment::new(loader.clone(), path.as_path(), config)?;
        let reload = || {
            black_box(deployment.reload().expect("it loaded before"));
        };
        cells.push(cell(&mut interleave(&mut [timed(reload)], rounds)?[0]));
    }
    row(&cells);
    Ok(())
}

/// A VM from its start to its end.
fn run(module: &Module, crash: bool) {
    let mut plugin = Dynamic::start(module, "").expect("it starts");
    let (vm, root) = plugin.vm();
    let workload = Workload { name: "calls", headers: 5, body: 0 };
    let stream = vm.create_stream(root, Box::new(workload.stream())).expect("it runs");
    if crash {
        vm.on_response_headers(stream, 0, true);
        assert!(vm.has_failed());
    }
}
