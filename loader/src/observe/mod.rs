//! What VMs do, in numbers: how often each callback of each plugin ran and for how long, what became of VMs, what memory they hold.
//!
//! An [`Observer`] is handed to VMs as [`Services::observer`](crate::host::Services::observer); one is enough for a process. VMs without
//! one pay nothing. With one, a callback costs two readings of the monotonic clock and a few plain stores to counters of its VM: threads
//! share no counter, and what they counted is summed when somebody asks. Nothing is lost when a VM ends.
//!
//! ```
//! # #[cfg(feature = "wasm")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use dynvm::host::Services;
//! use dynvm::observe::Observer;
//! # use dynvm::{Loader, PluginConfig, Vm, VmConfig};
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

/// Counts what the VMs do that it is given to, in any number of threads.
///
/// Counters begin at zero when it is made and never go back.
#[derive(Debug, Default)]
pub struct Observer {
    // Locked when VMs and plugins start, end and fail, and when somebody asks; never by a callback.
    state: Mutex<State>,
}

/// What became of a failed VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reload {
    /// It was replaced.
    Success,
    /// The attempt to replace it failed.
    Failure,
    /// The wait before the next attempt was not over.
    Backoff,
}

impl Observer {
    /// One that has seen nothing yet.
    pub fn new() -> Arc<Observer> {
        Arc::default()
    }

    /// All that was seen so far.
    pub fn snapshot(&self) -> Snapshot {
        self.state().snapshot()
    }

    /// The same as a page for Prometheus to scrape, of the type [`prometheus::CONTENT_TYPE`].
    pub fn prometheus(&self) -> String {
        let mut page = String::new();
        // A string takes whatever is written to it.
        let _ = self.write_prometheus(&mut page);
        page
    }

    /// Writes that page.
    ///
    /// # Errors
    ///
    /// Those of the writer.
    pub fn write_prometheus(&self, to: &mut impl fmt::Write) -> fmt::Result {
        // Not under the lock: a collector may ask the observer.
        let (seen, collectors) = (self.snapshot(), self.state().collectors());
        prometheus::write(to, &seen, &collectors)
    }

    /// Counts a replacement of a failed VM. [`Plugin`](crate::Plugin) does that itself; this is for embedders that replace VMs in a way
    /// of their own.
    pub fn count_reload(&self, plugin: &str, backend: BackendKind, reload: Reload) {
        let mut state = self.state();
        let reloads = &mut state.plugin(plugin, backend).reloads;
        match reload {
            Reload::Success => reloads.success += 1,
            Reload::Failure => reloads.failure += 1,
            Reload::Backoff => reloads.backoff += 1,
        }
    }

    /// Adds metrics to the page for Prometheus, for as long as the collector exists.
    pub fn register(&self, collector: Weak<dyn Collect>) {
        self.state().add_collector(collector);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }
}
