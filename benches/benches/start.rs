//! From an artifact to a started plugin.

use criterion::{Criterion, criterion_group, criterion_main};
use dynvm_benches::artifacts::Artifacts;
use dynvm_benches::dynamic::{Dynamic, loader};

fn start(criterion: &mut Criterion) {
    let suite = Artifacts::suite().expect("the plugin builds");
    let cache = tempfile::tempdir().expect("a directory for temporary files");
    let plain = loader(|_| {}).expect("both backends run here");
    let cached = loader(|options| options.wasm.cache_dir = Some(cache.path().to_owned())).expect("as above");
    let mut group = criterion.benchmark_group("start");
    group.sample_size(20);
    for (name, loader, path) in [
        ("native: read and link", &plain, &suite.native),
        ("wasm: compile", &plain, &suite.wasm),
        ("wasm: read from the cache", &cached, &suite.wasm),
    ] {
        group.bench_function(name, |bencher| bencher.iter(|| loader.load_file(path).expect("the plugin loads")));
    }
    for (name, path) in [("native: a VM", &suite.native), ("wasm: a VM", &suite.wasm)] {
        let module = plain.load_file(path).expect("the plugin loads");
        group.bench_function(name, |bencher| {
            bencher.iter(|| Dynamic::start(&module, "noop").expect("the plugin starts"));
        });
    }
    group.finish();
}

criterion_group!(benches, start);
criterion_main!(benches);
