//! Callbacks of a VM with a tracer, an observer or a time budget.

use std::time::Instant;

use dynvm_abi::table::CallbackId;

use super::callback_values::Callback;
use crate::backend::{CallbackResult, Instance, Returned};
use crate::call_trace::{Event, Named};
use crate::instance::InstanceState;

/// Calls a callback for the tracer, the observer and the watchdog, whichever the VM has.
#[cold]
pub(super) fn instrumented<C: Callback>(state: &InstanceState, instance: &mut dyn Instance, callback: C) -> Returned {
    let _running = state.slot().map(|slot| slot.enter(Some(C::ID), callback.context()));
    if state.is_traced() {
        traced(state, C::ID, callback.arguments(), || observed(state, instance, callback))
    } else {
        observed(state, instance, callback)
    }
}

/// Measures a callback if there is an observer. A callback that the plugin does not export is not
/// counted.
#[inline]
fn observed<C: Callback>(state: &InstanceState, instance: &mut dyn Instance, callback: C) -> Returned {
    let Some(observed) = state.observed() else { return callback.call(instance) };
    let started = Instant::now();
    let returned = callback.call(instance);
    let time = started.elapsed();
    if !matches!(returned, Ok(CallbackResult::NOT_EXPORTED)) {
        let contexts = state.contexts.borrow();
        if let Some(plugin) = contexts.root_of(callback.context()).and_then(|(_, root)| root.observed.as_ref()) {
            plugin.record(C::ID, time);
        }
        drop(contexts);
        if observed.is_memory_due() {
            observed.set_memory(instance.memory_size());
        }
    }
    returned
}

fn traced(state: &InstanceState, id: CallbackId, arguments: Vec<Named>, call: impl FnOnce() -> Returned) -> Returned {
    let row = id.describe();
    let event = |event| {
        if let Some(tracer) = state.tracer.borrow_mut().as_mut() {
            tracer.event(event);
        }
    };
    event(Event::CallbackEnter { name: row.name, arguments });
    let returned = call();
    event(Event::CallbackLeave {
        name: row.name,
        returned: match (&returned, row.returns) {
            (Ok(result), returns) if returns != dynvm_abi::table::Return::None => result.get(),
            _ => None,
        },
        exported: !matches!(returned, Ok(CallbackResult::NOT_EXPORTED)),
        failure: returned.as_ref().err().map(|failure| failure.to_string()),
    });
    returned
}
