//! What a plugin asked for inside of a callback and gets after it has returned, in order.

use super::Vm;
use crate::host::Stream;
use crate::instance::Deferred;

impl Vm {
    /// Carries out what the last callback asked for. An action may ask for more, which is carried out too.
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
