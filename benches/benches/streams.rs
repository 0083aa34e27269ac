//! Whole streams through a plugin, by workload.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use dynvm_benches::artifacts::Artifacts;
use dynvm_benches::direct::Direct;
use dynvm_benches::dynamic::{Dynamic, loader, native};
use dynvm_benches::linked::Linked;
use dynvm_benches::{BODIES, Subject, WORKLOADS};

fn streams(criterion: &mut Criterion) {
    let suite = Artifacts::suite().expect("the plugin builds");
    let guarded = loader(|_| {}).expect("both backends run here");
    let unguarded = loader(|options| native(options).contain_crashes = false).expect("both backends run here");
    let modules = [
        ("native-no-guard", unguarded.load_file(&suite.native)),
        ("native", guarded.load_file(&suite.native)),
        ("wasm", guarded.load_file(&suite.wasm)),
    ]
    .map(|(name, module)| (name, module.expect("the plugin loads")));
    for workload in WORKLOADS.iter().chain(&BODIES) {
        let template = workload.stream();
        let mut group = criterion.benchmark_group(workload.title());
        let mut bench = |name: &str, subject: &mut dyn Subject| {
            group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
                bencher.iter(|| subject.stream(&template))
            });
        };
        bench("direct", &mut Direct::new(*workload));
        bench("linked", &mut Linked::start(workload.name));
        for (name, module) in &modules {
            bench(name, &mut Dynamic::start(module, workload.name).expect("the plugin starts"));
        }
        group.finish();
    }
}

criterion_group!(benches, streams);
criterion_main!(benches);
