//! Callbacks of a VM with a tracer, an observer or a time budget.

use std::time::Instant;

use dynvm_abi::table::CallbackId;

use crate::backend::{Instance, Returned};
use crate::call_trace::{Event, Value};
use crate::instance::InstanceState;

/// Calls a callback for the tracer, the observer and the watchdog, whichever the VM has.
#[cold]
pub(super) fn instrumented<const COUNT: usize>(
    state: &InstanceState,
    instance: &mut dyn Instance,
    context: u32,
    id: CallbackId,
    arguments: impl FnOnce() -> [u64; COUNT],
    callback: impl FnOnce(&mut dyn Instance) -> Returned,
) -> Returned {
    let _running = state.slot().map(|slot| slot.enter(Some(id), context));
    if state.is_traced() {
        traced(state, id, &arguments(), || observed(state, instance, context, id, callback))
    } else {
        observed(state, instance, context, id, callback)
    }
}

/// Measures a callback if there is an observer. A callback that the plugin does not export is not
/// counted.
#[inline]
fn observed(
    state: &InstanceState,
    instance: &mut dyn Instance,
    context: u32,
    id: CallbackId,
    callback: impl FnOnce(&mut dyn Instance) -> Returned,
) -> Returned {
    let Some(observed) = state.observed() else { return callback(instance) };
    let started = Instant::now();
    let returned = callback(instance);
    let time = started.elapsed();
    if !matches!(returned, Ok(None)) {
        if let Some(plugin) = state.contexts.borrow().root_of(context).and_then(|(_, root)| root.observed.as_ref()) {
            plugin.record(id, time);
        }
        if observed.is_memory_due() {
            observed.set_memory(instance.memory_size());
        }
    }
    returned
}

fn traced(state: &InstanceState, id: CallbackId, arguments: &[u64], call: impl FnOnce() -> Returned) -> Returned {
    let row = id.describe();
    let event = |event| {
        if let Some(tracer) = state.tracer.borrow_mut().as_mut() {
            tracer.event(event);
        }
    };
    let named = row.params.iter().zip(arguments).map(|(param, value)| (param.name, Value::Number(i128::from(*value))));
    event(Event::CallbackEnter { name: row.name, arguments: named.collect() });
    let returned = call();
    event(Event::CallbackLeave {
        name: row.name,
        returned: match (&returned, row.returns) {
            (Ok(value), returns) if returns != dynvm_abi::table::Return::None => *value,
            _ => None,
        },
        exported: matches!(returned, Ok(Some(_)) | Err(_)),
        failure: returned.as_ref().err().map(|failure| failure.to_string()),
    });
    returned
}
