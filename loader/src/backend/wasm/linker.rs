//! Imports of a module: the hostcalls from the table of the ABI, WASI functions, and functions of
//! compilers' runtimes.

use dynvm_abi::types::{LogLevel, Status};
use wasmtime::{Caller, Engine, FuncType, Linker, Result, Val, ValType};

use super::store::{Data, Exit, WasmGuest, failed};
use crate::FailureKind;
use crate::hostcalls::dispatch;
use crate::hostcalls::wasi::{self, INERT};
use crate::instance::InstanceState;

/// Module names under which WASI is imported.
const WASI: [&str; 2] = ["wasi_snapshot_preview1", "wasi_unstable"];

/// WASI functions with effects: name and parameters.
const WASI_FUNCTIONS: &[(&str, &str)] = &[
    ("args_sizes_get", "ii"),
    ("clock_res_get", "ii"),
    ("clock_time_get", "iIi"),
    ("environ_get", "ii"),
    ("environ_sizes_get", "ii"),
    ("fd_fdstat_get", "ii"),
    ("fd_write", "iiii"),
    ("poll_oneoff", "iiii"),
    ("random_get", "ii"),
];

/// Parameters and results of a function that is not a hostcall, in the letters of [`INERT`].
pub(super) fn other_function(module: &str, name: &str) -> Option<(&'static str, &'static str)> {
    if WASI.contains(&module) {
        if name == "proc_exit" {
            return Some(("i", ""));
        }
        let effective = WASI_FUNCTIONS.iter().find(|(known, _)| *known == name).map(|(_, params)| *params);
        let inert = INERT.iter().find(|(known, ..)| *known == name).map(|(_, params, _)| *params);
        return effective.or(inert).map(|params| (params, "i"));
    }
    match (module, name) {
        // Emscripten's runtime.
        ("env", "emscripten_notify_memory_growth") => Some(("i", "")),
        // AssemblyScript's runtime.
        ("env", "abort") => Some(("iiii", "")),
        _ => None,
    }
}

macro_rules! define_hostcalls {
    ($($name:ident($($param:ident: $ty:ident),*) $versions:ident [$($status:ident)*];)*) => {
        fn define_hostcalls(linker: &mut Linker<Data>) -> Result<()> {
            $(
                linker.func_wrap(
                    "env",
                    stringify!($name),
                    |caller: Caller<'_, Data>, $($param: dynvm_abi::__wasm_type!($ty)),*| -> Result<u32> {
                        hostcall(caller, stringify!($name), |guest, state| dispatch::$name(guest, state, $(u64::from($param)),*))
                    },
                )?;
            )*
            Ok(())
        }
    };
}

dynvm_abi::hostcalls!(define_hostcalls);

pub(super) fn linker(engine: &Engine) -> Result<Linker<Data>> {
    let mut linker = Linker::new(engine);
    define_hostcalls(&mut linker)?;
    for module in WASI {
        define_wasi(&mut linker, module, engine)?;
    }
    linker.func_wrap("env", "emscripten_notify_memory_growth", |_: u32| {})?;
    linker.func_wrap(
        "env",
        "abort",
        |caller: Caller<'_, Data>, _message: u32, _file: u32, line: u32, column: u32| -> Result<()> {
            let state = caller.data().state.clone();
            state.fail_with(FailureKind::Exit, format!("the plugin aborted at line {line}, column {column}"));
            Err(failed(&state))
        },
    )?;
    Ok(linker)
}

#[inline]
fn hostcall(
    caller: Caller<'_, Data>,
    name: &str,
    call: impl FnOnce(&mut WasmGuest<'_>, &InstanceState) -> Status,
) -> Result<u32> {
    let state = caller.data().state.clone();
    let status = state.run_host(name, || call(&mut WasmGuest::new(caller), &state)).unwrap_or(Status::InternalFailure);
    if status != Status::Ok && state.has_failed() {
        return Err(failed(&state));
    }
    Ok(status as u32)
}

/// Calls a WASI function if the plugin may.
fn wasi_call(
    caller: Caller<'_, Data>,
    name: &str,
    call: impl FnOnce(&mut WasmGuest<'_>, &InstanceState) -> Result<(), u32>,
) -> Result<u32> {
    let state = caller.data().state.clone();
    let answer =
        state.run_host(name, || wasi::permit(&state, name).and_then(|()| call(&mut WasmGuest::new(caller), &state)));
    match answer {
        Some(answer) if !state.has_failed() => Ok(answer.err().unwrap_or(wasi::SUCCESS)),
        _ => Err(failed(&state)),
    }
}

fn define_wasi(linker: &mut Linker<Data>, module: &str, engine: &Engine) -> Result<()> {
    macro_rules! define {
        ($($name:ident($($param:ident: $ty:ty),*);)*) => {
            $(linker.func_wrap(module, stringify!($name), |caller: Caller<'_, Data>, $($param: $ty),*| {
                wasi_call(caller, stringify!($name), |guest, state| wasi::$name(guest, state, $($param),*))
            })?;)*
        };
    }
    define! {
        args_sizes_get(count: u32, size: u32);
        clock_res_get(clock: u32, resolution: u32);
        clock_time_get(clock: u32, precision: u64, time: u32);
        environ_get(pointers: u32, strings: u32);
        environ_sizes_get(count: u32, size: u32);
        fd_fdstat_get(fd: u32, stat: u32);
        fd_write(fd: u32, iovs: u32, count: u32, written: u32);
        poll_oneoff(events_in: u32, events_out: u32, count: u32, events: u32);
        random_get(target: u32, len: u32);
    }
    linker.func_wrap(module, "proc_exit", |caller: Caller<'_, Data>, code: u32| -> Result<()> {
        wasi_call(caller, "proc_exit", |_, state| {
            state.log(LogLevel::Debug, format!("the plugin called proc_exit({code})").as_bytes());
            Ok(())
        })?;
        Err(wasmtime::Error::new(Exit(code)))
    })?;
    for (name, params, inert) in INERT {
        let params = params.chars().map(|letter| if letter == 'I' { ValType::I64 } else { ValType::I32 });
        let ty = FuncType::new(engine, params, [ValType::I32]);
        linker.func_new(module, name, ty, move |caller, arguments, results| {
            let first = arguments.first().and_then(Val::i32).unwrap_or_default();
            let errno = wasi_call(caller, name, |_, _| match inert.errno(first as u32) {
                wasi::SUCCESS => Ok(()),
                errno => Err(errno),
            })?;
            results[0] = Val::I32(errno as i32);
            Ok(())
        })?;
    }
    Ok(())
}
