//! The hostcall for ticks.

use std::time::Duration;

use super::Answer;
use crate::instance::{Guest, InstanceState};

/// Sets the tick period of the root context, also when called from a stream context.
pub(super) fn proxy_set_tick_period_milliseconds<G: Guest>(_: &mut G, state: &InstanceState, period: u32) -> Answer {
    let Some((root, _)) = state.contexts.borrow().root_of(state.effective.get()).map(|(id, root)| (id, root.done))
    else {
        return Ok(());
    };
    let period = (period != 0).then(|| Duration::from_millis(period.into()));
    state.services.timers.set_tick_period(state.context_id(root), period);
    Ok(())
}
