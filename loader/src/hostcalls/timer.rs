//! Ticks.

use std::time::Duration;

use super::Answer;
use crate::vm::{ContextId, Guest, VmCell};

/// Sets the period of the root context, also when a stream context asks.
pub(super) fn proxy_set_tick_period_milliseconds<G: Guest>(_: &mut G, cell: &VmCell, period: u32) -> Answer {
    let Some((root, _)) = cell.contexts.borrow().root_of(cell.effective.get()).map(|(id, root)| (id, root.done)) else {
        return Ok(());
    };
    let period = (period != 0).then(|| Duration::from_millis(period.into()));
    cell.services.timers.set_tick_period(ContextId(root), period);
    Ok(())
}
