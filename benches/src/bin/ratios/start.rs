//! From an artifact in a file to a plugin that serves.

use dynvm::Loader;
use dynvm_benches::artifacts::Artifacts;
use dynvm_benches::dynamic::{Dynamic, loader};

use crate::table::{Runner, cell, head, interleave, row, timed};

pub fn measure(suite: &Artifacts, rounds: usize) -> anyhow::Result<()> {
    let cache = tempfile::tempdir()?;
    let plain = loader(|_| {})?;
    let cached = loader(|options| options.wasm.cache_dir = Some(cache.path().to_owned()))?;
    let (native, wasm) = (plain.load_file(&suite.native)?, plain.load_file(&suite.wasm)?);
    cached.load_file(&suite.wasm)?;

    head(&["", "median (fastest)"]);
    let load = |loader: &Loader, path| {
        loader.load_file(path).expect("it loaded before");
    };
    let vm = |module| drop(Dynamic::start(module, "noop").expect("it started before"));
    let few = rounds.min(10);
    let rows: [(&str, usize, Runner<'_>); 5] = [
        ("native: read and edit the file", rounds, timed(|| load(&plain, &suite.native))),
        ("native: a VM, started and stopped", rounds, timed(|| vm(&native))),
        ("wasm: compile", few, timed(|| load(&plain, &suite.wasm))),
        ("wasm: read from the cache", rounds, timed(|| load(&cached, &suite.wasm))),
        ("wasm: a VM, started and stopped", rounds, timed(|| vm(&wasm))),
    ];
    // Not interleaved: compiling uses all cores, and would slow the others.
    for (title, rounds, subject) in rows {
        let mut times = interleave(&mut [subject], rounds)?;
        row(&[title.to_owned(), cell(&mut times[0])]);
    }
    Ok(())
}
