//! An empty callback.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use dynvm_benches::artifacts::Artifacts;
use dynvm_benches::dynamic::{Dynamic, loader, native};

fn calls(criterion: &mut Criterion) {
    let plugin = Artifacts::calls().expect("the plugin builds");
    let mut group = criterion.benchmark_group("empty callback");
    // SAFETY: a plugin of ours, without constructors.
    let library = unsafe { libloading::Library::new(&plugin.native) }.expect("it is a library");
    // SAFETY: it has this signature, and takes any context id.
    let tick = *unsafe { library.get::<unsafe extern "C" fn(u32)>(b"proxy_on_tick") }.expect("it exports the callback");
    // SAFETY: as above.
    group.bench_function("indirect C call", |bencher| bencher.iter(|| unsafe { black_box(tick)(1) }));
    for (name, guard, path) in
        [("native, no guard", false, &plugin.native), ("native", true, &plugin.native), ("wasm", true, &plugin.wasm)]
    {
        let loader = loader(|options| native(options).contain_crashes = guard).expect("both backends run here");
        let mut plugin = Dynamic::load(&loader, path, "").expect("the plugin starts");
        let (vm, root) = plugin.vm();
        group.bench_function(name, |bencher| bencher.iter(|| vm.on_tick(root)));
    }
    group.finish();
}

criterion_group!(benches, calls);
criterion_main!(benches);
