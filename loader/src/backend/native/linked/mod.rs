//! Plugins that are part of the program: `dynvm-link` joined them to it, so nothing is read or mapped here.
//!
//! ```text
//!   slots      which copy of a plugin a VM runs on
//!   variables  gives each VM statics and thread-local variables of its own
//!   names      what the loader defines for them, under the names by which they were linked
//!   program    where in memory and in which file the program is, for backtraces
//! ```

mod names;
mod program;
mod slots;
mod variables;

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use dynvm_abi::linked::{Functions, Linked, StateModel};

use super::exports::Exports;
use super::libc_functions::{Effect, may_have};
use slots::Lease;
pub(super) use variables::PrivateThreadLocals;

/// Why crashes of a plugin whose VMs share statics end the process.
pub(super) const SHARES_STATICS: &str =
    "its VMs share statics, which a crash may leave half changed (link it with `.slots(..)` or `--slots`)";

/// Functions by which C++ allocates: from the program's C++ library, which allocates and frees on its own.
const CPP_ALLOCATES: &[&str] = &["_Znwm", "_Znam"];

/// A linked plugin.
pub(super) struct LinkedPlugin {
    plugin: &'static Linked,
    /// The exports of each copy, by name.
    exports: Vec<Arc<Exports>>,
    /// Why VMs allocate from the program's heap; asked for every VM, and found by comparing many names.
    shared_heap: Option<String>,
    /// What addresses in the program differ by from those in its file.
    base: usize,
}

impl LinkedPlugin {
    pub(super) fn new(plugin: &'static Linked) -> LinkedPlugin {
        let exports = plugin.slots.iter().map(|slot| {
            let exports = slot.exports.iter().map(|export| (export.name.to_owned(), export.address as u64));
            Arc::new(exports.collect())
        });
        let base = program::base_of_program(plugin.slots[0].text.start as usize);
        LinkedPlugin { plugin, exports: exports.collect(), shared_heap: shares_heap(plugin), base }
    }

    /// Takes a copy that is free, with its statics as the program started with them.
    ///
    /// # Errors
    ///
    /// All are in use; the message has the remedy.
    pub(super) fn take(&self) -> Result<LinkedCopy, String> {
        let (index, lease) = Lease::take(self.plugin)?;
        if !lease.is_shared() {
            // SAFETY: nothing runs on a free slot: threads of the plugin keep theirs.
            unsafe { variables::reset_statics(lease.slot()) };
        }
        Ok(LinkedCopy { lease, exports: self.exports[index].clone(), base: self.base })
    }

    /// The exports of the first copy, by name; others export the same names.
    pub(super) fn exports(&self) -> Arc<Exports> {
        self.exports[0].clone()
    }

    /// A function by which it may have an effect, as the rest of a sentence.
    pub(super) fn source(&self, effect: Effect) -> Option<String> {
        source(self.plugin, effect)
    }

    /// Whether it calls the program's C++ library.
    pub(super) fn uses_cpp_library(&self) -> bool {
        const NAMES: &[&str] = &["_ZNSt", "_ZNKSt", "_ZSt", "_Zn"];
        let interposed = |name: &&&str| dynvm_abi::linked::LIBC.contains(*name);
        let imports = self.plugin.imports.iter().filter(|name| !interposed(name));
        imports.into_iter().any(|import| NAMES.iter().any(|name| import.starts_with(name)))
    }

    /// Why VMs allocate from the program's heap; `None`: each has its own, as what it allocates is its alone, and the plugin alone frees it.
    pub(super) fn shares_heap(&self) -> Option<&str> {
        self.shared_heap.as_deref()
    }

    /// Why not several VMs at once have statics of their own.
    pub(super) fn shares_statics(&self) -> Option<&'static str> {
        if self.plugin.state_model == StateModel::PerThread {
            return Some("its VMs share them (link it with `.slots(..)` or `--slots`)");
        }
        (self.plugin.slots.len() == 1)
            .then_some("it has one slot, so one VM at a time (link it with `.slots(..)` or `--slots`)")
    }
}

fn source(plugin: &Linked, effect: Effect) -> Option<String> {
    let function = plugin.imports.iter().find(|name| may_have(effect, name));
    function.map(|function| format!("calls {function}"))
}

fn shares_heap(plugin: &Linked) -> Option<String> {
    if plugin.state_model == StateModel::PerThread {
        return Some("its VMs share statics, which refer to it (link it with `.slots(..)` or `--slots`)".to_owned());
    }
    if plugin.slots[0].export("malloc").is_some() {
        return Some("it defines malloc".to_owned());
    }
    if CPP_ALLOCATES.iter().any(|name| plugin.imports.contains(name)) {
        return Some("it allocates by the program's C++ library, which also frees for it".to_owned());
    }
    source(plugin, Effect::ChangedMemory).map(|source| format!("it {source}, which may resize or free its memory"))
}

/// A copy of a linked plugin, for as long as a VM or a thread of the plugin uses it.
pub(super) struct LinkedCopy {
    lease: Lease,
    exports: Arc<Exports>,
    base: usize,
}

impl LinkedCopy {
    /// Thread-local variables of a VM, on this thread.
    pub(super) fn thread_locals(&self) -> PrivateThreadLocals {
        PrivateThreadLocals::new(self.lease.slot())
    }

    /// Whether other VMs may run on the copy.
    pub(super) fn is_shared(&self) -> bool {
        self.lease.is_shared()
    }

    /// Its code.
    pub(super) fn span(&self) -> Range<usize> {
        let text = self.lease.slot().text;
        text.start as usize..text.stop as usize
    }

    /// Its exports, by name.
    pub(super) fn exports(&self) -> Arc<Exports> {
        self.exports.clone()
    }

    /// What its addresses differ by from those in the program's file.
    pub(super) fn base_of_program(&self) -> usize {
        self.base
    }

    /// Runs the constructors: for each VM, or once if VMs share what they construct.
    pub(super) fn initialize<E>(&self, call: &mut dyn FnMut(usize, [u64; 5]) -> Result<u64, E>) -> Result<(), E> {
        /// Shared slots whose constructors have run.
        static CONSTRUCTED: Mutex<Vec<usize>> = Mutex::new(Vec::new());

        let mut run = || {
            // The number and list of arguments, and the environment, which are empty.
            let none = [std::ptr::null::<u8>()];
            let none = none.as_ptr() as u64;
            addresses(self.lease.slot().constructors)
                .try_for_each(|function| call(function, [0, none, none, 0, 0]).map(drop))
        };
        if !self.is_shared() {
            return run();
        }
        // Held meanwhile: another VM must not run before they have.
        let mut constructed = CONSTRUCTED.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = std::ptr::from_ref(self.lease.slot()) as usize;
        if !constructed.contains(&slot) {
            run()?;
            constructed.push(slot);
        }
        Ok(())
    }

    /// Runs the destructors, unless other VMs use what they destroy.
    pub(super) fn finalize<E>(&self, call: &mut dyn FnMut(usize, [u64; 5]) -> Result<u64, E>) -> Result<(), E> {
        if self.is_shared() {
            return Ok(());
        }
        addresses(self.lease.slot().destructors).rev().try_for_each(|function| call(function, [0; 5]).map(drop))
    }
}

/// The addresses in a list of functions.
fn addresses(list: Functions) -> impl DoubleEndedIterator<Item = usize> {
    // SAFETY: the descriptor's list, a constant.
    (0..list.count).map(move |index| unsafe { *list.first.cast::<usize>().add(index) })
}
