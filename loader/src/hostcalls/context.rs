//! Contexts: which one hostcalls act on, and the end of a root.

use dynvm_abi::types::Status;

use super::Answer;
use crate::vm::{Deferred, DoneState, Guest, VmCell};

/// 0 goes back to the context whose callback runs.
pub(super) fn proxy_set_effective_context<G: Guest>(_: &mut G, cell: &VmCell, context_id: u32) -> Answer {
    if context_id == 0 {
        cell.effective.set(cell.current.get());
        return Ok(());
    }
    cell.contexts.borrow().get(context_id).ok_or(Status::BadArgument)?;
    cell.effective.set(context_id);
    Ok(())
}

/// The plugin whose `proxy_on_done` returned false is done. `NotFound` if it is not waited for.
pub(super) fn proxy_done<G: Guest>(_: &mut G, cell: &VmCell) -> Answer {
    let root = cell.effective_root().ok_or(Status::NotFound)?;
    let mut contexts = cell.contexts.borrow_mut();
    let state = contexts.root_mut(root).ok_or(Status::NotFound)?;
    if state.done != DoneState::Pending {
        return Err(Status::NotFound);
    }
    state.done = DoneState::Done;
    cell.defer(Deferred::RootDone(root));
    Ok(())
}
