//! An empty callback, and hostcalls.

use std::hint::black_box;
use std::path::Path;

use dynvm::observe::Observer;
use dynvm::wasm::CpuLimit;
use dynvm::{ContextId, Loader, Vm};
use dynvm_benches::artifacts::Artifacts;
use dynvm_benches::dynamic::{Dynamic, loader, native};
use dynvm_benches::{Workload, linked_in};
use std::time::{Duration, Instant};

use crate::table::{Runner, cell, head, interleave, ratio, row, timed};

/// Hostcalls in one callback: enough to make the callback itself negligible.
const CALLS: usize = 1000;

pub fn measure(rounds: usize) -> anyhow::Result<()> {
    let artifacts = Artifacts::calls()?;
    // SAFETY: a plugin of ours, without constructors.
    let library = unsafe { libloading::Library::new(&artifacts.native)? };
    // SAFETY: it has this signature.
    let tick = *unsafe { library.get::<unsafe extern "C" fn(u32)>(b"proxy_on_tick")? };
    let guarded = loader(|_| {})?;
    let unguarded = loader(|options| native(options).contain_crashes = false)?;
    let epochs = loader(|options| options.wasm.cpu_limit = CpuLimit::Time(Duration::from_secs(1)))?;
    let fuel = loader(|options| options.wasm.cpu_limit = CpuLimit::Fuel(1 << 40))?;
    let start = |loader: &Loader, path: &Path| Calls::start(loader, path);
    let mut vms = [
        start(&unguarded, &artifacts.native)?,
        start(&guarded, &artifacts.native)?,
        start(&guarded, &artifacts.wasm)?,
        start(&epochs, &artifacts.wasm)?,
        start(&fuel, &artifacts.wasm)?,
        Calls::of(Dynamic::start(&linked_in::calls()?, "")?)?,
    ];

    head(&[
        "",
        "indirect C call",
        "native, no guard",
        "native",
        "wasm",
        "wasm, time limit",
        "wasm, fuel",
        "linked in",
        "native / C call",
    ]);
    // SAFETY: it takes any context id.
    let mut subjects: Vec<Runner<'_>> = vec![timed(|| unsafe { black_box(tick)(1) })];
    subjects.extend(vms.iter_mut().map(|calls| timed(|| calls.tick())));
    let mut times = interleave(&mut subjects, rounds)?;
    drop(subjects);
    let mut cells = vec!["empty callback".to_owned()];
    cells.extend(times.iter_mut().map(cell));
    cells.push(ratio(times[2].median(), times[0].median()));
    row(&cells);
    println!();

    head(&["", "native, no guard", "native", "wasm", "wasm, time limit", "wasm, fuel", "linked in", "native / wasm"]);
    for (title, call) in [("the time", Calls::time as fn(&mut Calls)), ("a header of 20 bytes", Calls::header)] {
        let mut subjects: Vec<Runner<'_>> = vms.iter_mut().map(|calls| timed(|| call(calls))).collect();
        let mut times = interleave(&mut subjects, rounds)?;
        drop(subjects);
        for times in &mut times {
            times.scale(1.0 / CALLS as f64);
        }
        let mut cells = vec![title.to_owned()];
        cells.extend(times.iter_mut().map(cell));
        cells.push(ratio(times[1].median(), times[2].median()));
        row(&cells);
    }
    println!();
    observed(&guarded, &artifacts, rounds)
}

/// The cost of an observer, beside the clock readings that it needs.
fn observed(loader: &Loader, artifacts: &Artifacts, rounds: usize) -> anyhow::Result<()> {
    let observer = Observer::new();
    let mut plugins = Vec::new();
    for path in [&artifacts.native, &artifacts.wasm] {
        let module = loader.load_file(path)?;
        for observer in [None, Some(observer.clone())] {
            plugins.push(Dynamic::start_observed(&module, "", observer)?);
        }
    }
    let mut subjects: Vec<Runner<'_>> = vec![timed(|| {
        black_box((Instant::now(), Instant::now()));
    })];
    for plugin in &mut plugins {
        let (vm, root) = plugin.vm();
        subjects.push(timed(move || vm.on_tick(root)));
    }
    let mut times = interleave(&mut subjects, rounds)?;
    drop(subjects);
    head(&["", "the clock, twice", "native", "native, observed", "wasm", "wasm, observed"]);
    let mut cells = vec!["empty callback".to_owned()];
    cells.extend(times.iter_mut().map(cell));
    row(&cells);
    Ok(())
}

/// The plugin that makes hostcalls.
struct Calls {
    plugin: Dynamic,
    stream: ContextId,
}

impl Calls {
    fn start(loader: &Loader, path: &Path) -> anyhow::Result<Calls> {
        Calls::of(Dynamic::load(loader, path, "")?)
    }

    fn of(mut plugin: Dynamic) -> anyhow::Result<Calls> {
        let (vm, root) = plugin.vm();
        let workload = Workload { name: "calls", headers: 5, body: 0 };
        let stream = vm.create_stream(root, Box::new(workload.stream()))?;
        Ok(Calls { plugin, stream })
    }

    fn tick(&mut self) {
        let (vm, root) = self.plugin.vm();
        vm.on_tick(root);
    }

    fn header(&mut self) {
        let stream = self.stream;
        let vm: &mut Vm = self.plugin.vm().0;
        black_box(vm.on_request_headers(stream, CALLS, true));
    }

    fn time(&mut self) {
        let stream = self.stream;
        black_box(self.plugin.vm().0.on_request_body(stream, CALLS, true));
    }
}
