//! Ticks of root contexts.

use std::time::Duration;

use crate::ContextId;

/// Schedules periodic ticks of root contexts.
pub trait Timers {
    /// Sets the period in which the embedder calls [`Vm::on_tick`](crate::Vm::on_tick) for this
    /// root context. The timer is periodic; a new period replaces the old one, and `None` stops it.
    /// Also called with `None` when the root context ends or its VM fails.
    fn set_tick_period(&self, root: ContextId, period: Option<Duration>);
}

/// A host without ticks: they never come.
pub struct NoTimers;

impl Timers for NoTimers {
    fn set_tick_period(&self, _: ContextId, _: Option<Duration>) {}
}
