//! What VMs of a module lack, and why.

#[cfg(feature = "native")]
use {
    super::{Options, bind},
    dynvm_image::Facts,
};

use super::guard;
use super::libc_functions::Effect;
#[cfg(feature = "null")]
use super::linked::LinkedPlugin;
use crate::limitation::{Limitation, Protection};

/// Why crashes of plugins that the system's loader maps end the process.
#[cfg(feature = "native")]
pub(super) const BY_SYSTEM_LOADER: &str = "the system's loader maps it (native::Loading::System)";

/// Why crashes of other plugins end the process; `None`: they are contained.
pub(super) fn uncontained(contain_crashes: bool) -> Option<&'static str> {
    match contain_crashes {
        false => Some("by option (native::Options::contain_crashes)"),
        true if !guard::AVAILABLE => Some("crashes are contained on x86-64 and aarch64 Linux only"),
        true => None,
    }
}

/// Whether a module's VMs lack a protection.
pub(super) fn is_lacking(protection: Protection, limitations: &[Limitation]) -> bool {
    limitations.iter().any(|limitation| limitation.protection == protection)
}

/// All of them: the plain way has none of the protections.
#[cfg(feature = "native")]
pub(super) fn of_system_loader() -> Vec<Limitation> {
    use Protection::*;
    let all = [Faults, Exits, Recursion, Heap, Statics, Unloading, Output, Clock, Random, Environment];
    all.map(|protection| Limitation::new(protection, BY_SYSTEM_LOADER)).into()
}

/// Those of an image that this loader maps.
#[cfg(feature = "native")]
pub(super) fn of_image(facts: &Facts, options: &Options) -> Vec<Limitation> {
    let heap = bind::shares_heap(facts, options).filter(|_| bind::allocates(facts));
    let library = facts.needed().iter().find(|library| !has_no_frames(library));
    let library = library.map(|library| format!("{library} ends the process: link it statically with that"));
    let mut found = of_crashes(uncontained(options.contain_crashes), library, heap);
    let mut add = |protection, reason: String| found.push(Limitation::new(protection, reason));
    if let Some(source) = bind::source(facts, Effect::KeptAddress) {
        add(Protection::Unloading, stays(&source));
    }
    let interpose = options.interpose;
    for (protection, is_on, option) in [
        (Protection::Output, interpose.output, "output"),
        (Protection::Clock, interpose.clock, "clock"),
        (Protection::Random, interpose.random, "random"),
        (Protection::Environment, interpose.environment, "environment"),
    ] {
        if !is_on {
            add(protection, format!("by option (native::Interpose::{option})"));
        }
    }
    if let Some(name) = bind::changes_environment(facts).filter(|_| interpose.environment) {
        add(Protection::Environment, format!("it uses {name}, which is of the process's environment"));
    }
    found
}

/// Those of a plugin that is part of the program.
#[cfg(feature = "null")]
pub(super) fn of_linked(plugin: &LinkedPlugin, uncontained: Option<&str>) -> Vec<Limitation> {
    let library = plugin.uses_cpp_library().then(|| "the program's C++ library ends the process".to_owned());
    let mut found = of_crashes(uncontained, library, plugin.shares_heap().map(str::to_owned));
    if let Some(reason) = plugin.shares_statics() {
        found.push(Limitation::new(Protection::Statics, reason));
    }
    if let Some(source) = plugin.source(Effect::KeptAddress) {
        found.push(Limitation::new(Protection::Unloading, stays(&source)));
    }
    found
}

/// What a plugin lacks whose crashes are not contained, that recurses through a library, or that allocates from a shared heap.
fn of_crashes(uncontained: Option<&str>, library: Option<String>, heap: Option<String>) -> Vec<Limitation> {
    let mut found = Vec::new();
    if let Some(reason) = uncontained {
        let protections = [Protection::Faults, Protection::Exits, Protection::Recursion];
        found.extend(protections.map(|protection| Limitation::new(protection, reason)));
    } else if let Some(through) =
        library.or(heap.as_ref().map(|_| "the C library's malloc ends the process".to_owned()))
    {
        found.push(Limitation::new(Protection::Recursion, format!("recursion through {through}")));
    }
    found.extend(heap.map(|reason| Limitation::new(Protection::Heap, reason)));
    found
}

fn stays(source: &str) -> String {
    format!("it {source}, by which its addresses may stay with others")
}

/// Whether recursion cannot go through a library: it has no functions that a plugin's frames call again and again, or those keep off the end
/// of the stack.
#[cfg(feature = "native")]
fn has_no_frames(library: &str) -> bool {
    bind::is_of_the_system(library) && !library.starts_with("libstdc++")
}
