//! The data of a store, the plugin's memory that hostcalls reach through it, and the failures of its calls.

use std::rc::Rc;

use dynvm_abi::types::Status;
use wasmtime::{AsContextMut, Caller, Error, Extern, Memory, StoreLimits, Trap, TypedFunc, WasmBacktrace};

use crate::error::{Failure, FailureKind};
use crate::instance::{Addr, Guest, InstanceState};

/// The data of a wasmtime store, which hostcalls use.
pub(super) struct Data {
    pub(super) state: Rc<InstanceState>,
    /// `None` until the first hostcall, or until the instantiation is complete.
    pub(super) memory: Option<Memory>,
    pub(super) allocator: Option<TypedFunc<u32, u32>>,
    pub(super) limits: StoreLimits,
}

/// The exit code with which the plugin called `proc_exit`.
#[derive(Debug, thiserror::Error)]
#[error("the plugin called proc_exit({0})")]
pub(super) struct Exit(pub(super) u32);

/// Describes the error of a call as a failure of the VM.
#[cold]
pub(super) fn describe(state: &InstanceState, error: &Error) -> Box<Failure> {
    // If a hostcall failed the VM, that failure ended the call.
    if let Some(failure) = state.failure() {
        return Box::new(failure);
    }
    let kind = match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel | Trap::Interrupt) => FailureKind::Limit,
        Some(_) => FailureKind::Trap,
        None if error.downcast_ref::<Exit>().is_some() => FailureKind::Exit,
        None => FailureKind::Limit,
    };
    let message = match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => "the callback used up its fuel".to_owned(),
        Some(Trap::Interrupt) => "the callback ran longer than it may".to_owned(),
        Some(trap) => match error.downcast_ref::<WasmBacktrace>() {
            Some(backtrace) => format!("{trap}\n{backtrace}"),
            None => trap.to_string(),
        },
        None => format!("{:#}", error.root_cause()),
    };
    Failure::new(kind, message)
}

/// The error that ends a call whose VM failed inside a hostcall.
#[cold]
pub(super) fn failed(state: &InstanceState) -> Error {
    match state.failure() {
        Some(failure) => Error::new(failure),
        None => Error::msg("the VM failed"),
    }
}

/// The linear memory of a wasm plugin during a hostcall.
pub(super) struct WasmGuest<'a> {
    caller: Caller<'a, Data>,
}

impl<'a> WasmGuest<'a> {
    pub(super) fn new(mut caller: Caller<'a, Data>) -> WasmGuest<'a> {
        if caller.data().memory.is_none() {
            find_memory(&mut caller);
        }
        WasmGuest { caller }
    }
}

/// Finds the memory through the calling instance. A start function makes hostcalls before the host
/// has the instance.
#[cold]
fn find_memory(caller: &mut Caller<'_, Data>) {
    let memory = caller.get_export("memory").and_then(Extern::into_memory);
    caller.data_mut().memory = memory;
}

impl Guest for WasmGuest<'_> {
    const WIDE: bool = false;

    #[inline]
    fn read(&self, addr: Addr, len: u64) -> Result<&[u8], Status> {
        if len == 0 {
            return Ok(&[]);
        }
        let memory = self.caller.data().memory.ok_or(Status::InvalidMemoryAccess)?;
        let end = addr.0.checked_add(len).ok_or(Status::InvalidMemoryAccess)?;
        memory.data(&self.caller).get(addr.0 as usize..end as usize).ok_or(Status::InvalidMemoryAccess)
    }

    #[inline]
    fn slice_mut(&mut self, addr: Addr, len: usize) -> Result<&mut [u8], Status> {
        let memory = self.caller.data().memory.ok_or(Status::InvalidMemoryAccess)?;
        let start = addr.0 as usize;
        let end = start.checked_add(len).ok_or(Status::InvalidMemoryAccess)?;
        memory.data_mut(&mut self.caller).get_mut(start..end).ok_or(Status::InvalidMemoryAccess)
    }

    fn allocate(&mut self, len: usize) -> Result<Addr, Status> {
        let allocator = self.caller.data().allocator.clone().ok_or(Status::InvalidMemoryAccess)?;
        let size = u32::try_from(len).map_err(|_| Status::InvalidMemoryAccess)?;
        let address = allocator.call(self.caller.as_context_mut(), size).map_err(|error| {
            let state = &self.caller.data().state;
            state.fail(describe(state, &error));
            Status::InternalFailure
        })?;
        if address == 0 { Err(Status::InvalidMemoryAccess) } else { Ok(Addr(address.into())) }
    }
}
