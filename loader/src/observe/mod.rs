//! Counters for monitoring: number and duration of each plugin's callbacks, starts, failures and
//! replacements of VMs, and their memory.
//!
//! An [`Observer`] is passed to VMs as [`Services::observer`](crate::host::Services::observer); a
//! process needs one. Without an observer a VM counts nothing and pays nothing. With one, a
//! callback costs two readings of the monotonic clock and a few plain stores to counters of its VM.
//! Threads share no counter; a snapshot sums them up. The counts of a VM that ends are kept.
//!
//! ```
//! # #[cfg(feature = "wasm")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use dynvm::host::Services;
//! use dynvm::observe::Observer;
//! # use dynvm::{Loader, PluginConfig, Vm};
//! # let text = br#"(module (func (export "proxy_abi_version_0_2_1")) (func (export "proxy_on_tick") (param i32)))"#;
//! # let module = Loader::new()?.load_bytes("tick.wat", text)?;
//!
//! let observer = Observer::new();
//! let mut services = Services::default();
//! services.observer = Some(observer.clone());
//! let mut vm = Vm::builder(&module).services(services).build()?;
//! let root = vm.start_plugin(PluginConfig::named("clock"))?;
//! vm.on_tick(root);
//! let page = observer.prometheus();
//! assert!(page.contains(
//!     r#"dynvm_callback_duration_seconds_count{plugin="clock",backend="wasm",callback="proxy_on_tick"} 1"#
//! ));
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "wasm"))]
//! # fn main() {}
//! ```

mod counters;
mod histogram;
pub mod prometheus;
mod snapshot;
mod state;
mod vm;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, Weak};

pub use histogram::Distribution;
pub use prometheus::Collect;
pub use snapshot::{CallbackSnapshot, ModuleSnapshot, ModuleVersion, PluginSnapshot, PluginStarts, Reloads, Snapshot};
pub(crate) use vm::{PluginObserved, VmObserved};

use crate::artifact::BackendKind;
use state::State;

/// Counts callbacks, starts and failures of its VMs, on any number of threads.
///
/// Counters start at zero when the observer is created and never decrease.
///
/// ```
/// use dynvm::host::Services;
/// use dynvm::observe::Observer;
///
/// let observer = Observer::new();
/// let mut services = Services::default();
/// services.observer = Some(observer.clone());
/// // VMs started with clones of `services` are counted. None has been started yet:
/// assert!(observer.snapshot().modules.is_empty());
/// ```
#[derive(Debug, Default)]
pub struct Observer {
    // Locked when VMs and plugins start, end and fail, and by snapshots; never by a callback.
    state: Mutex<State>,
}

/// Outcome of an attempt to replace a failed VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reload {
    /// The VM was replaced.
    Success,
    /// The replacement failed to start.
    Failure,
    /// No attempt was made, because the delay after the last one was not over.
    Backoff,
}

impl Observer {
    /// An observer whose counters are zero.
    pub fn new() -> Arc<Observer> {
        Arc::default()
    }

    /// The current values of all counters.
    pub fn snapshot(&self) -> Snapshot {
        self.state().snapshot()
    }

    /// The current values as a page for Prometheus, of content type [`prometheus::CONTENT_TYPE`].
    pub fn prometheus(&self) -> String {
        let mut page = String::new();
        // Writing to a string cannot fail.
        let _ = self.write_prometheus(&mut page);
        page
    }

    /// Writes the page of [`prometheus`](Observer::prometheus) to a writer.
    ///
    /// # Errors
    ///
    /// Those of the writer.
    pub fn write_prometheus(&self, to: &mut impl fmt::Write) -> fmt::Result {
        // Collected without the lock, because a collector may call the observer.
        let (seen, collectors) = (self.snapshot(), self.state().collectors());
        prometheus::write(to, &seen, &collectors)
    }

    /// Counts an attempt to replace a failed VM. [`Plugin`](crate::Plugin) calls this itself; it is
    /// for embedders that replace VMs on their own.
    pub fn count_reload(&self, plugin: &str, backend: BackendKind, reload: Reload) {
        let mut state = self.state();
        let reloads = &mut state.plugin(plugin, backend).reloads;
        match reload {
            Reload::Success => reloads.success += 1,
            Reload::Failure => reloads.failure += 1,
            Reload::Backoff => reloads.backoff += 1,
        }
    }

    /// Adds the metrics of a collector to the page, for as long as the collector exists.
    pub fn register(&self, collector: Weak<dyn Collect>) {
        self.state().add_collector(collector);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }
}
