//! One version on one thread, from start to drain.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dynvm::abi::types::LogLevel;
use dynvm::host::{Services, Stream};
use dynvm::{CallError, StartError};
use dynvm::{ContextId, Plugin, RootDone, Vm};

use super::version::{Version, VmUse};
use super::{DeploymentConfig, StreamRef};

/// A version running on this thread.
pub(super) struct Serving {
    // First field: the VM must be dropped before `usage` stops counting it.
    plugin: Plugin,
    usage: Arc<VmUse>,
    version: Arc<Version>,
    /// When to delete the plugin even if it has not called `proxy_done`.
    deadline: Option<Instant>,
}

/// Progress of draining an old version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Drained {
    /// It still has streams, or time to call `proxy_done`.
    NotYet,
    /// It can be dropped.
    Done,
    /// It did not call `proxy_done` in time.
    TimedOut,
}

impl Serving {
    pub(super) fn start(
        version: Arc<Version>,
        config: &DeploymentConfig,
        services: Services,
    ) -> Result<Serving, StartError> {
        let plugin = Plugin::builder(&version.module, version.plugin_config.clone())
            .vm_config(config.vm_config.clone())
            .services(services)
            .backoff(config.vm_backoff)
            .start()?;
        let usage = version.count_vm();
        Ok(Serving { plugin, usage, version, deadline: None })
    }

    #[inline]
    pub(super) fn number(&self) -> u64 {
        self.version.number
    }

    pub(super) fn plugin(&mut self) -> &mut Plugin {
        &mut self.plugin
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Creates a stream; `create` makes the context below the root context.
    pub(super) fn create_stream(
        &mut self,
        create: impl FnOnce(&mut Vm, ContextId) -> Result<ContextId, CallError>,
    ) -> Result<StreamRef, CallError> {
        let (vm, root) = self.plugin.vm_for_new_stream();
        let context = create(vm, root)?;
        self.count_streams();
        Ok(StreamRef { version: self.version.number, context })
    }

    /// The VM of a stream; `None` if the VM failed and was replaced, which ended the stream.
    #[inline]
    pub(super) fn vm_of(&mut self, stream: StreamRef) -> Option<&mut Vm> {
        let vm = self.plugin.vm();
        (vm.id() == stream.context.vm()).then_some(vm)
    }

    pub(super) fn end(&mut self, stream: StreamRef) -> Option<Box<dyn Stream>> {
        let ended = self.vm_of(stream)?.delete_stream(stream.context);
        self.count_streams();
        ended
    }

    /// Reads the VM's own count, because the embedder may delete streams there directly.
    fn count_streams(&mut self) -> usize {
        let root = self.plugin.root();
        let count = self.plugin.vm().stream_count(root);
        self.usage.set_streams(count);
        count
    }

    /// After the last stream has ended, stops the plugin and checks whether it is done.
    pub(super) fn drain(&mut self, now: Instant, timeout: Duration) -> Drained {
        if self.count_streams() > 0 {
            return Drained::NotYet;
        }
        let (number, root) = (self.version.number, self.plugin.root());
        let vm = self.plugin.vm();
        // Repeating the request does not call the plugin again.
        match vm.stop_plugin(root) {
            Ok(RootDone::Pending) if !vm.has_failed() => {
                if now < *self.deadline.get_or_insert(now + timeout) {
                    return Drained::NotYet;
                }
                vm.log(LogLevel::Warn, &format!("version {number} has not called proxy_done within {timeout:?}"));
                vm.delete_plugin(root);
                Drained::TimedOut
            }
            _ => Drained::Done,
        }
    }

    /// The root context, for events outside streams.
    pub(super) fn root(&self) -> ContextId {
        self.plugin.root()
    }
}
