//! Deferred actions: requests of a plugin that take effect after its callback returns, in order.
//!
//! The plugin runs while the embedder's stream is borrowed, and it may still use the stream after
//! the request. So a hostcall only queues the action, and the embedder is called when no code of
//! the plugin is on the stack.

use super::Vm;
use crate::host::Stream;
use crate::instance::Deferred;

impl Vm {
    /// Executes the actions queued by the last callback, and those that they queue in turn.
    #[cold]
    pub(super) fn carry_out_deferred(&mut self) {
        while self.state.has_deferred() {
            for action in self.state.take_deferred() {
                match action {
                    Deferred::Continue(id, direction) => {
                        self.act_on_stream(id, |stream| stream.continue_stream(direction))
                    }
                    Deferred::Close(id, direction) => self.act_on_stream(id, |stream| stream.close_stream(direction)),
                    Deferred::LocalResponse(id, response) => {
                        self.act_on_stream(id, |stream| stream.send_local_response(*response));
                    }
                    Deferred::RootDone(root) => self.delete_root(root),
                }
            }
        }
    }

    fn act_on_stream(&mut self, id: u32, act: impl FnOnce(&mut dyn Stream)) {
        if let Some(state) = self.state.contexts.borrow_mut().stream_mut(id) {
            act(state.stream.as_mut());
        }
    }
}
