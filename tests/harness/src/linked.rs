//! The probe as a part of this program.

use dynvm::Module;

#[cfg(linked)]
include!(concat!(env!("OUT_DIR"), "/probes.rs"));

#[cfg(not(linked))]
const PROBES: &[(&[&str], &dynvm::linked::Linked)] = &[];

/// The probe with these macros, of the sets in `build.rs`.
pub(crate) fn probe(defines: &[&str]) -> Module {
    let (_, plugin) =
        PROBES.iter().find(|(known, _)| known == &defines).expect("build.rs links the probe with these macros");
    Module::linked(plugin)
}
