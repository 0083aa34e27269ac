//! From an artifact in a file to a started plugin.

use std::path::Path;

use dynvm::Loader;
use dynvm_benches::artifacts::Artifacts;
use dynvm_benches::dynamic::{Dynamic, loader};
use dynvm_benches::linked_in;

use object::read::elf::ElfFile64;
use object::{Object as _, ObjectSegment as _};

use crate::table::{Runner, cell, head, interleave, row, timed};

pub fn measure(suite: &Artifacts, rounds: usize) -> anyhow::Result<()> {
    let cache = tempfile::tempdir()?;
    let plain = loader(|_| {})?;
    let cached = loader(|options| options.wasm.cache_dir = Some(cache.path().to_owned()))?;
    let rewrite = Artifacts::header_rewrite()?;
    head(&["median (fastest)", "header-rewrite", "bench-suite"]);
    let columns = [
        measure_plugin(&rewrite, r#"{"request": [{"set": "x-env", "value": "production"}]}"#, &plain, &cached, rounds)?,
        measure_plugin(suite, "noop", &plain, &cached, rounds)?,
    ];
    for (index, title) in ROWS.iter().enumerate() {
        row(&[(*title).to_owned(), columns[0][index].clone(), columns[1][index].clone()]);
    }
    for (title, module) in [("", linked_in::suite_shared()?), (", slots", linked_in::suite_slots()?)] {
        let start = timed(|| drop(Dynamic::start(&module, "noop").expect("it starts")));
        let cell = cell(&mut interleave(&mut [start], rounds)?[0]);
        row(&[format!("linked in{title}: a VM, started and stopped"), "–".to_owned(), cell]);
    }
    Ok(())
}

const ROWS: [&str; 6] = [
    "native: size of the mapped part",
    "native: read and link the file",
    "native: a VM, started and stopped",
    "wasm: compile",
    "wasm: read from the cache",
    "wasm: a VM, started and stopped",
];

fn measure_plugin(
    artifacts: &Artifacts,
    configuration: &str,
    plain: &Loader,
    cached: &Loader,
    rounds: usize,
) -> anyhow::Result<Vec<String>> {
    let (native, wasm) = (plain.load_file(&artifacts.native)?, plain.load_file(&artifacts.wasm)?);
    cached.load_file(&artifacts.wasm)?;
    let load = |loader: &Loader, path| {
        loader.load_file(path).expect("it loaded before");
    };
    let vm = |module| drop(Dynamic::start(module, configuration).expect("it starts"));
    let few = rounds.min(10);
    let subjects: [(usize, Runner<'_>); 5] = [
        (rounds, timed(|| load(plain, &artifacts.native))),
        (rounds, timed(|| vm(&native))),
        (few, timed(|| load(plain, &artifacts.wasm))),
        (rounds, timed(|| load(cached, &artifacts.wasm))),
        (rounds, timed(|| vm(&wasm))),
    ];
    let mut cells = vec![format!("{} KiB", mapped(&artifacts.native)? / 1024)];
    // Not interleaved: compiling uses all cores, and would slow the others.
    for (rounds, subject) in subjects {
        cells.push(cell(&mut interleave(&mut [subject], rounds)?[0]));
    }
    Ok(cells)
}

/// The mapped size of a shared object, which each VM copies.
fn mapped(path: &Path) -> anyhow::Result<u64> {
    let bytes = std::fs::read(path)?;
    let file = ElfFile64::<object::Endianness>::parse(&*bytes)?;
    let end = file.segments().map(|segment| segment.file_range()).map(|(at, len)| at + len);
    Ok(end.max().unwrap_or_default())
}
