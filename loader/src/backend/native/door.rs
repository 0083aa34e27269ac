//! The one way from a plugin into the host: every hostcall, and every function of the C library that the loader answers in the host's name.
//!
//! What happens inside is the host's: a crash there is not the plugin's, a panic does not unwind into the plugin, and a plugin with hardly any
//! stack left, or in a child process that it forked, does not enter. What the plugin points to is tested before, with
//! [`readable`](super::address_check::readable) and [`writable`](super::address_check::writable).

use super::crash_cause::Cause;
use super::vm::Instance;
use super::{current_instance, process_exit, thread_stack};
use crate::error::FailureKind;

/// The instance whose code called, on this thread; `None` on a thread without one, in a child process that a plugin forked, and while the
/// host runs.
#[inline]
pub(super) fn caller() -> Option<&'static Instance> {
    // SAFETY: an instance lives for as long as it is current on this thread; the reference is not kept beyond the call.
    let instance = unsafe { current_instance::get().as_ref() }?;
    (!instance.in_host.get() && !instance.frame.is_forked()).then_some(instance)
}

/// Runs code of the host. Afterwards the plugin's call is left if the VM has failed, or its time is over: `Err` where that cannot be.
///
/// # Errors
///
/// The VM has failed.
#[inline]
pub(super) fn enter<R>(instance: &Instance, name: &str, host: impl FnOnce() -> R) -> Result<R, Refused> {
    if instance.is_short_of_stack() {
        return Err(refuse(instance));
    }
    let before = instance.in_host.replace(true);
    let returned = instance.state().run_host(name, host);
    instance.in_host.set(before);
    match returned {
        Some(value) => {
            check_time(instance);
            Ok(value)
        }
        None => Err(panicked(instance)),
    }
}

/// Leaves a call whose time is over, or that the host terminated.
#[inline]
pub(super) fn check_time(instance: &Instance) {
    if let Some(slot) = instance.state().slot()
        && slot.requested().is_some_and(|request| request.stops())
    {
        overrun(instance);
    }
}

/// The host was not entered, or did not return: the VM has failed, and its call goes on only since it cannot be left.
#[derive(Debug)]
pub(super) struct Refused;

/// Ends a call that has hardly any stack left. Costs one comparison where there is enough.
#[inline]
pub(super) fn check_stack(instance: &Instance) {
    if instance.is_short_of_stack() {
        let _ = refuse(instance);
    }
}

#[cold]
#[inline(never)]
fn refuse(instance: &Instance) -> Refused {
    if !instance.frame.is_forked() && instance.frame.is_entered() && !instance.in_host.get() {
        // SAFETY: the plugin called; nothing here has anything to drop.
        unsafe { process_exit::leave(instance, Cause::StackOverflow) };
        instance.state().fail_with(FailureKind::Trap, Cause::StackOverflow.describe());
    }
    Refused
}

#[cold]
#[inline(never)]
fn panicked(instance: &Instance) -> Refused {
    // SAFETY: the plugin called; nothing here has anything to drop.
    unsafe { process_exit::leave(instance, Cause::Hostcall) };
    Refused
}

#[cold]
#[inline(never)]
fn overrun(instance: &Instance) {
    // SAFETY: the plugin called. The value that the host returned is a number or a status: what it has to drop, it dropped inside.
    unsafe { process_exit::leave(instance, Cause::Overrun) };
}

impl Instance {
    /// Whether less of the stack is left than the host needs, or this is a child process that the plugin forked.
    #[inline]
    pub(super) fn is_short_of_stack(&self) -> bool {
        !self.has_stack() && self.is_near_end_of_stack()
    }

    /// Whether enough of the stack is left for sure.
    #[inline]
    pub(super) fn has_stack(&self) -> bool {
        thread_stack::pointer() >= self.stack_limit.get()
    }

    #[cold]
    #[inline(never)]
    fn is_near_end_of_stack(&self) -> bool {
        let (lowest, reserve) = self.stack.get();
        // On a stack that is not the thread's, a coroutine's, the difference is a large number.
        thread_stack::pointer().wrapping_sub(lowest) < reserve
    }

    /// Closes the host to this instance: it runs in a child process that it forked.
    pub(super) fn mark_forked(&self) {
        self.frame.mark_forked();
        self.stack.set((0, usize::MAX));
        self.set_stack_limits();
    }
}
