//! Slow path of a hostcall: checks of phase, capability and host, then tracing.
//!
//! A hostcall comes here if its bit is not in [`InstanceState`]'s fast set. The three masks that
//! make up that set (capable, implemented, allowed in the phase) are tested one by one here,
//! because each has its own answer.

use dynvm_abi::table::{HostcallId, Param, Type};
use dynvm_abi::types::{LogLevel, Status};

use crate::call_trace::{Event, Named, Value};
use crate::error::FailureKind;
use crate::instance::{Addr, Guest, InstanceState, Phase};

/// Makes a hostcall if the plugin may, and traces it.
///
/// A hostcall in the wrong phase fails the VM, as in proxy-wasm-cpp-host. One that the capability
/// restriction or the host does not allow returns a status, and is still traced.
#[cold]
pub(super) fn pass<G: Guest>(
    guest: &mut G,
    state: &InstanceState,
    id: HostcallId,
    raw: &[u64],
    call: impl FnOnce(&mut G) -> Status,
) -> Status {
    let hostcall = id.describe();
    if !state.allows_in_phase(id) {
        let phase = if state.phase() == Phase::Starting { "before it was started" } else { "from its allocator" };
        state.fail_with(
            FailureKind::Restricted,
            format!("the plugin called {} {phase}, where only proxy_log is allowed", hostcall.name),
        );
        return Status::InternalFailure;
    }
    if !state.is_traced() {
        return checked(guest, state, id, call);
    }
    let arguments = decode_arguments(guest, hostcall.params, raw);
    let status = checked(guest, state, id, call);
    let results = if status == Status::Ok { decode_results(guest, hostcall.params, raw) } else { Vec::new() };
    if let Ok(mut tracer) = state.tracer.try_borrow_mut()
        && let Some(tracer) = tracer.as_mut()
    {
        tracer.event(Event::Hostcall { name: hostcall.name, arguments, status, results });
    }
    status
}

fn checked<G: Guest>(
    guest: &mut G,
    state: &InstanceState,
    id: HostcallId,
    call: impl FnOnce(&mut G) -> Status,
) -> Status {
    if state.is_capable(id) {
        return if state.is_implemented(id) { call(guest) } else { Status::Unimplemented };
    }
    let name = id.describe().name;
    state.log(
        LogLevel::Error,
        format!("the plugin called {name}, which its capability restriction does not allow").as_bytes(),
    );
    Status::InternalFailure
}

/// Decodes the arguments. An address and the size that follows it become one value.
fn decode_arguments<G: Guest>(guest: &G, params: &'static [Param], raw: &[u64]) -> Vec<Named> {
    let mut values = Vec::new();
    let mut index = 0;
    while index < params.len() {
        let Param { name, ty } = params[index];
        let value = raw[index];
        index += 1;
        let decoded = match ty {
            Type::OutPtr | Type::OutSize | Type::OutU32 | Type::OutU64 => continue,
            Type::Ptr => {
                let size = raw[index];
                index += 1;
                match guest.read(Addr(value), size) {
                    Ok(bytes) => Value::Bytes(bytes.to_vec()),
                    Err(_) => Value::Invalid,
                }
            }
            Type::I32 => Value::Number(i128::from(value as i32)),
            Type::I64 => Value::Number(i128::from(value as i64)),
            ty => Value::Number(i128::from(ty.defined_bits(value))),
        };
        values.push((name.strip_suffix("_data").unwrap_or(name), decoded));
    }
    values
}

/// Decodes the values that the hostcall wrote to the plugin's memory.
fn decode_results<G: Guest>(guest: &G, params: &'static [Param], raw: &[u64]) -> Vec<Named> {
    let number = |raw: u64, len: u64| -> Option<u64> {
        let mut bytes = [0; 8];
        bytes[..len as usize].copy_from_slice(guest.read(Addr(raw), len).ok()?);
        Some(u64::from_le_bytes(bytes))
    };
    let word = if G::WIDE { 8 } else { 4 };
    let mut values = Vec::new();
    let mut index = 0;
    while index < params.len() {
        let Param { name, ty } = params[index];
        let value = match ty {
            Type::OutU32 => number(raw[index], 4).map(|n| Value::Number(n.into())),
            Type::OutU64 => number(raw[index], 8).map(|n| Value::Number(n.into())),
            Type::OutSize => number(raw[index], word).map(|n| Value::Number(n.into())),
            Type::OutPtr => {
                let addr = number(raw[index], word);
                index += 1;
                let bytes =
                    addr.zip(number(raw[index], word)).and_then(|(addr, size)| guest.read(Addr(addr), size).ok());
                bytes.map(|bytes| Value::Bytes(bytes.to_vec()))
            }
            _ => {
                index += 1;
                continue;
            }
        };
        let name = name.strip_prefix("return_").unwrap_or(name);
        values.push((name.strip_suffix("_data").unwrap_or(name), value.unwrap_or(Value::Invalid)));
        index += 1;
    }
    values
}
