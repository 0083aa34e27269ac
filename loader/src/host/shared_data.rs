//! Shared data: the key-value store shared by all VMs with the same `vm_id`.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, RwLock};

/// Error of [`SharedData::set`]: the value has changed since it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CasMismatch;

/// A key-value store with compare-and-swap.
pub trait SharedData: Send + Sync {
    /// The value of a key and its compare-and-swap number, which is never 0.
    fn get(&self, vm_id: &str, key: &[u8]) -> Option<(Arc<[u8]>, u32)>;

    /// Sets a value. With `cas` 0 unconditionally; otherwise only if the stored value still has
    /// this number or there is no value, as in proxy-wasm-cpp-host.
    fn set(&self, vm_id: &str, key: &[u8], value: &[u8], cas: u32) -> Result<(), CasMismatch>;
}

type Store = HashMap<String, HashMap<Vec<u8>, (Arc<[u8]>, u32)>>;

/// A store in the memory of this process.
#[derive(Default)]
pub struct InProcessSharedData {
    store: RwLock<Store>,
    last_cas: AtomicU32,
}

impl InProcessSharedData {
    /// The instance that all VMs share by default.
    pub fn process() -> Arc<InProcessSharedData> {
        static PROCESS: LazyLock<Arc<InProcessSharedData>> = LazyLock::new(Arc::default);
        PROCESS.clone()
    }

    /// Deletes the data of one `vm_id`, for an embedder whose last VM with that id has ended.
    pub fn forget(&self, vm_id: &str) {
        self.store.write().unwrap_or_else(|e| e.into_inner()).remove(vm_id);
    }

    /// A copy of all data, for [`restore`](InProcessSharedData::restore).
    pub fn save(&self) -> SavedData {
        let store = self.store.read().unwrap_or_else(|e| e.into_inner());
        SavedData { store: store.clone(), last_cas: self.last_cas.load(Ordering::Relaxed) }
    }

    /// Restores saved data, including the compare-and-swap numbers.
    pub fn restore(&self, saved: &SavedData) {
        // Each change of a value takes a new number, so an equal number means equal data.
        if self.last_cas.load(Ordering::Relaxed) == saved.last_cas {
            return;
        }
        let mut store = self.store.write().unwrap_or_else(|e| e.into_inner());
        store.clone_from(&saved.store);
        self.last_cas.store(saved.last_cas, Ordering::Relaxed);
    }
}

/// A copy of shared data.
pub struct SavedData {
    store: Store,
    last_cas: u32,
}

impl InProcessSharedData {
    /// The next compare-and-swap number, from one sequence for all `vm_id`s as in
    /// proxy-wasm-cpp-host. Plugins see these numbers, so the sequence belongs to the store and not
    /// to the process: the numbers in one host do not depend on another.
    fn next_cas(&self) -> u32 {
        loop {
            let cas = self.last_cas.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
            if cas != 0 {
                return cas;
            }
        }
    }
}

impl SharedData for InProcessSharedData {
    fn get(&self, vm_id: &str, key: &[u8]) -> Option<(Arc<[u8]>, u32)> {
        let store = self.store.read().unwrap_or_else(|e| e.into_inner());
        store.get(vm_id)?.get(key).cloned()
    }

    fn set(&self, vm_id: &str, key: &[u8], value: &[u8], cas: u32) -> Result<(), CasMismatch> {
        let mut store = self.store.write().unwrap_or_else(|e| e.into_inner());
        if !store.contains_key(vm_id) {
            store.insert(vm_id.to_owned(), HashMap::new());
        }
        let values = store.get_mut(vm_id).expect("inserted above");
        match values.get_mut(key) {
            Some((_, current)) if cas != 0 && cas != *current => Err(CasMismatch),
            Some(entry) => {
                *entry = (value.into(), self.next_cas());
                Ok(())
            }
            None => {
                values.insert(key.to_owned(), (value.into(), self.next_cas()));
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stores_do_not_see_each_other() {
        let cas = |data: &InProcessSharedData| {
            data.set("vm", b"k", b"", 0).unwrap();
            data.get("vm", b"k").unwrap().1
        };
        let (one, other) = (InProcessSharedData::default(), InProcessSharedData::default());
        assert_eq!([cas(&one), cas(&one), cas(&other)], [1, 2, 1]);
    }

    #[test]
    fn cas_guards_existing_values_only() {
        let data = InProcessSharedData::default();
        assert_eq!(data.set("vm", b"k", b"1", 77), Ok(()), "no value yet: any cas sets");
        let (value, cas) = data.get("vm", b"k").unwrap();
        assert_eq!((&*value, cas != 0), (&b"1"[..], true));
        assert_eq!(data.set("vm", b"k", b"2", cas), Ok(()));
        assert_eq!(data.set("vm", b"k", b"3", cas), Err(CasMismatch));
        assert_eq!(data.set("vm", b"k", b"3", 0), Ok(()));
        assert!(data.get("other", b"k").is_none());
        data.forget("vm");
        assert!(data.get("vm", b"k").is_none());
    }
}
