//! Everything that can be done with a file without running its code. The fuzz target `image` does it too.

use std::path::Path;

use dynvm_image::{Facts, Functions, Image, Import, Importer, Linker};

/// True for libraries that every process has open: any other would run code.
fn is_open(library: &str) -> bool {
    ["libc.so.", "ld-linux", "libgcc_s.so."].iter().any(|open| library.starts_with(open))
}

/// Reads, links and maps a file: true if that can be done.
pub fn use_without_running(bytes: &[u8], path: Option<&Path>) -> bool {
    let _ = Facts::read_for_any_machine(bytes);
    Functions::read(bytes).find(0x1000);
    let Ok(facts) = Facts::read(bytes) else { return false };
    let _ = facts.needed_files(None);
    let Ok(needed) = facts.needed_files(path) else { return false };
    if needed.iter().any(|library| library.path.is_some() || !is_open(&library.name)) {
        return false;
    }
    let bind = |_: Importer<'_>, _: &Import| Some(0x1234);
    // SAFETY: nothing of the file runs, nor of a library that is not open already.
    let Ok(linked) = (unsafe { Linker::new(&bind).link(facts, bytes) }) else { return false };
    let Ok(mut image) = Image::map(&linked) else { return false };
    for _ in 0..2 {
        for export in linked.facts().exports() {
            image.symbol(export.name());
        }
        let _ = image.initialize(&mut |_, _| Ok::<u64, ()>(0x1234));
        let _ = image.finalize(&mut |_, _| Ok::<u64, ()>(0));
        image.retire();
        // The second time in the place of the first.
        let Ok(again) = Image::map(&linked) else { return false };
        image = again;
    }
    true
}
