//! What a plugin asked for inside of a callback and gets after it has returned, in order.

use super::Vm;
use super::cell::Deferred;

impl Vm {
    /// Carries out what the last callback asked for. An action may ask for more, which is carried out too.
    #[cold]
    pub(super) fn carry_out_deferred(&mut self) {
        while self.cell.has_deferred() {
            for action in self.cell.take_deferred() {
                self.carry_out(action);
            }
        }
    }

    fn carry_out(&mut self, action: Deferred) {
        let (id, act): (u32, &mut dyn FnMut(&mut dyn crate::host::Stream)) = match action {
            Deferred::Continue(id, direction) => (id, &mut move |stream| stream.continue_stream(direction)),
            Deferred::Close(id, direction) => (id, &mut move |stream| stream.close_stream(direction)),
            Deferred::LocalResponse(id, response) => {
                let mut response = Some(*response);
                return self.with_stream(id, &mut |stream| {
                    if let Some(response) = response.take() {
                        stream.send_local_response(response);
                    }
                });
            }
            Deferred::RootDone(root) => return self.delete_root(root),
        };
        self.with_stream(id, act);
    }

    fn with_stream(&mut self, id: u32, act: &mut dyn FnMut(&mut dyn crate::host::Stream)) {
        if let Some(state) = self.cell.contexts.borrow_mut().stream_mut(id) {
            act(state.stream.as_mut());
        }
    }
}
