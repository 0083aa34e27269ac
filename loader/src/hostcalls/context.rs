//! Hostcalls for contexts: selection of the effective one, and the delayed end of a root.

use dynvm_abi::types::Status;

use super::Answer;
use crate::instance::{Deferred, DoneState, Guest, InstanceState};

/// Selects the context that further hostcalls act on. 0 selects the one whose callback runs.
pub(super) fn proxy_set_effective_context<G: Guest>(_: &mut G, state: &InstanceState, context_id: u32) -> Answer {
    if context_id == 0 {
        state.effective.set(state.current.get());
        return Ok(());
    }
    state.contexts.borrow().get(context_id).ok_or(Status::BadArgument)?;
    state.effective.set(context_id);
    Ok(())
}

/// Completes the stop of a plugin whose `proxy_on_done` returned false. `NotFound` if the host does
/// not wait for it.
pub(super) fn proxy_done<G: Guest>(_: &mut G, state: &InstanceState) -> Answer {
    let root = state.effective_root().ok_or(Status::NotFound)?;
    let mut contexts = state.contexts.borrow_mut();
    let context = contexts.root_mut(root).ok_or(Status::NotFound)?;
    if context.done != DoneState::Pending {
        return Err(Status::NotFound);
    }
    context.done = DoneState::Done;
    state.defer(Deferred::RootDone(root));
    Ok(())
}
