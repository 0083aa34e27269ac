//! Which copy of a plugin a VM runs on.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use dynvm_abi::linked::{Linked, Slot, StateModel};

/// The slots that have a VM, by address.
static TAKEN: Mutex<BTreeSet<usize>> = Mutex::new(BTreeSet::new());

/// A slot, for as long as a VM needs it.
pub(super) struct Lease {
    slot: &'static Slot,
    /// No other VM uses the slot.
    is_exclusive: bool,
}

impl Lease {
    /// Takes a slot, with its index.
    ///
    /// # Errors
    ///
    /// All are in use; the message has the remedy.
    pub(super) fn take(plugin: &'static Linked) -> Result<(usize, Lease), String> {
        if plugin.state_model == StateModel::PerThread {
            return Ok((0, Lease { slot: &plugin.slots[0], is_exclusive: false }));
        }
        let mut taken = taken();
        let slot = plugin.slots.iter().enumerate().find(|(_, slot)| taken.insert(address(slot)));
        let (index, slot) = slot.ok_or_else(|| {
            let count = plugin.slots.len();
            let more = count + 1;
            format!(
                "it keeps state in statics, and its slots, {count}, are all in use: end another VM of it, or link it with \
                 `.slots({more})`, which is `--slots {more}` of `dynvm build --static`; if VMs may share its statics, with \
                 `.state(StateModel::PerThread)` or `--share-statics`"
            )
        })?;
        Ok((index, Lease { slot, is_exclusive: true }))
    }

    /// Whether other VMs may run on the slot.
    pub(super) fn is_shared(&self) -> bool {
        !self.is_exclusive
    }

    pub(super) fn slot(&self) -> &'static Slot {
        self.slot
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.is_exclusive {
            taken().remove(&address(self.slot));
        }
    }
}

fn taken() -> MutexGuard<'static, BTreeSet<usize>> {
    TAKEN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn address(slot: &'static Slot) -> usize {
    std::ptr::from_ref(slot) as usize
}
