//! Ticks.

use std::time::Duration;

use crate::ContextId;

/// Sets periodic ticks of root contexts.
pub trait Timers {
    /// From now on, call [`Vm::on_tick`](crate::Vm::on_tick) for this root context in this period; `None` ends it, a new period
    /// replaces the old one. The timer re-arms itself. `None` comes as well when the root context ends or its VM fails.
    fn set_tick_period(&self, root: ContextId, period: Option<Duration>);
}

/// Ticks that never come.
pub struct NoTimers;

impl Timers for NoTimers {
    fn set_tick_period(&self, _: ContextId, _: Option<Duration>) {}
}
