//! Reading, linking and mapping shared objects does not panic, and does not touch memory that is not the image's. None of their code runs.
#![no_main]

use dynvm_image::{Facts, Functions, Image, Import, Importer, Linker};
use libfuzzer_sys::fuzz_target;

/// Libraries that the process has open: any other would run code.
fn is_open(library: &str) -> bool {
    library.starts_with("libc.so.") || library.starts_with("libm.so.") || library.starts_with("libgcc_s.so.")
}

fuzz_target!(|data: &[u8]| {
    let _ = Facts::read_for_any_machine(data);
    Functions::read(data).find(0x1000);
    let Ok(facts) = Facts::read(data) else { return };
    let Ok(needed) = facts.needed_files(None) else { return };
    if needed.iter().any(|library| library.path.is_some() || !is_open(&library.name)) {
        return;
    }
    let bind = |_: Importer<'_>, _: &Import| Some(0x1234);
    // SAFETY: nothing of the file runs, and no library is opened that is not open already.
    let Ok(linked) = (unsafe { Linker::new(&bind).link(facts, data) }) else { return };
    for _ in 0..2 {
        let Ok(mut image) = Image::map(&linked) else { return };
        let _ = image.initialize(&mut |_, _| Ok::<u64, ()>(0x1234));
        let _ = image.finalize(&mut |_, _| Ok::<u64, ()>(0));
        image.retire();
    }
});
