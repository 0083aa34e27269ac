//! VMs: the C functions of `loader/vm.h`.

use std::ffi::{c_char, c_void};
use std::sync::Arc;
use std::time::Duration;

use dynvm::abi::types::LogLevel;
use dynvm::host::{Clock, Log, LogSource, SystemClock};
use dynvm::image::{
    CallMode, Fault, Function, Hostcalls as Table, ImageConfig, NativeImage, Prepared, Returned, Terminator,
};
use dynvm::{CallbackBudget, StartError};

use crate::error::{Code, Error, attempt};
use crate::hostcalls::Hostcalls;
use crate::module::Module;
use crate::text::{free, give, object, object_mut, text};

type LogFunction = unsafe extern "C" fn(data: *mut c_void, level: u32, text: *const c_char, size: usize);
type MayCall = unsafe extern "C" fn(data: *mut c_void, name: *const c_char, size: usize) -> bool;
type Trace = unsafe extern "C" fn(
    data: *mut c_void,
    name: *const c_char,
    size: usize,
    arguments: *const u64,
    count: usize,
    result: *const u64,
);
type Variable = unsafe extern "C" fn(data: *mut c_void, name: *const c_char) -> *const c_char;
type ClockFunction = unsafe extern "C" fn(data: *mut c_void, monotonic: bool, nanoseconds: *mut u64) -> bool;

/// The type behind `dynvm_vm_config_t`.
pub struct Config {
    hostcalls: Table,
    name: String,
    memory_limit: Option<usize>,
    budget: Option<CallbackBudget>,
    log: Option<(LogFunction, *mut c_void)>,
    may_call: Option<(MayCall, *mut c_void)>,
    trace: Option<(Trace, *mut c_void)>,
    clock: Option<(ClockFunction, *mut c_void)>,
    environment: Option<(Variable, *mut c_void)>,
    check_addresses: bool,
}

/// The type behind `dynvm_vm_t`.
pub struct Vm {
    raw: NativeImage,
    _module: Module,
}

/// The type behind `dynvm_terminator_t`.
pub struct Ended(Terminator);

/// A log that is a function of the host.
struct CLog {
    function: LogFunction,
    data: *mut c_void,
}

// SAFETY: `loader/vm.h` requires a function that can be called, with its data, on the threads that it lists.
unsafe impl Send for CLog {}
// SAFETY: as for `Send`.
unsafe impl Sync for CLog {}

impl Log for CLog {
    fn log(&self, _: LogSource<'_>, level: LogLevel, message: &[u8]) {
        // SAFETY: the host passed this function together with this data.
        unsafe { (self.function)(self.data, level as u32, message.as_ptr().cast(), message.len()) }
    }

    fn level(&self) -> LogLevel {
        // The host's function filters by level itself.
        LogLevel::Trace
    }
}

/// A clock that is a function of the host.
struct CClock {
    function: ClockFunction,
    data: *mut c_void,
}

// SAFETY: the function is called on the VM's thread only.
unsafe impl Send for CClock {}
// SAFETY: as for `Send`.
unsafe impl Sync for CClock {}

impl CClock {
    fn read(&self, monotonic: bool) -> Option<u64> {
        let mut time = 0;
        // SAFETY: the host passed this function together with this data.
        unsafe { (self.function)(self.data, monotonic, &mut time) }.then_some(time)
    }
}

impl Clock for CClock {
    fn realtime_ns(&self) -> u64 {
        self.read(false).unwrap_or_else(|| SystemClock.realtime_ns())
    }

    fn monotonic_ns(&self) -> u64 {
        self.read(true).unwrap_or_else(|| SystemClock.monotonic_ns())
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn dynvm_vm_config_new(hostcalls: *const Hostcalls) -> *mut Config {
    // SAFETY: guaranteed by the caller, as `loader/vm.h` requires.
    let hostcalls = unsafe { object(hostcalls) }.0.clone();
    give(Config {
        hostcalls,
        name: String::new(),
        memory_limit: None,
        budget: None,
        log: None,
        may_call: None,
        trace: None,
        clock: None,
        environment: None,
        check_addresses: true,
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn dynvm_vm_config_free(config: *mut Config) {
    // SAFETY: guaranteed by the caller, as `loader/vm.h` requires.
    unsafe { free(config) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn dynvm_vm_config_set_name(config: *mut Config, name: *const c_char) -> *mut Error {
    attempt(|| {
        // SAFETY: guaranteed by the caller, as `loader/vm.h` requires.
        let (config, name) = unsafe { (object_mut(config), text(name, "the VM's name")?) };
        config.name = name.to_owned();
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn dynvm_vm_config_set_memory_limit(config: *mut Config, bytes: usize) {
    // SAFETY: guaranteed by the caller, as `loader/vm.h` requires.
    unsafe { object_mut(config) }.memory_limit = (bytes != 0).then_some(bytes);
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn dynvm_vm_config_set_budget(config: *mut Config, milliseconds: u64, action: u32) {
    let limit = Duration::from_millis(milliseconds);
    let budget = if action == 0 { CallbackBudget::report(limit) } else { CallbackBudget::fail(limit) };
    // SAFETY: guaranteed by the caller, as `loader/vm.h` requires.
    unsafe { object_mut(config) }.budget = (milliseconds != 0).then_some(budget);
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn dynvm_vm_config_set_log(config: *mut Config, log: Option<LogFunction>, data: *mut c_void) {
    // SAFETY: guaranteed by the caller, as `loader/vm.h` requires.
    unsafe { object_mut(config) }.log = log.map(|log| (log, data));
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn dynvm_vm_config_set_may_call(
    config: *mut Config,
    may_call: Option<MayCall>,
    data: *mut c_void,
) {
    // SAFETY: guaranteed by the caller, as `loader/vm.h` requires.
    unsafe { object_mut(config) }.may_call = may_call.map(|may_call| (may_call, data));
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn dynvm_vm_config_set_trace(config: *mut Config, trace: Option<Trace>, data: *mut c_void) {
    // SAFETY: guaranteed by the caller, as `loader/vm.h` requires.
    unsafe { object_mut(config) }.trace = trace.map(|trace| (trace, data));
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn dynvm_vm_config_set_check_addresses(config: *mut Config, check: bool) {
    // SAFETY: guaranteed by the caller, as `loader/vm.h` requires.
    unsafe { object_mut(config) }.check_addresses = check;
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn dynvm_vm_config_set_environment(
    config: *mut Config,
    variable: Option<Variable>,
    data: *mut c_void,
) {
    // SAFETY: guaranteed by the caller, as `loader/vm.h` requires.
    unsafe { object_mut(config) }.environment = variable.map(|variable| (variable, data));
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn dynvm_vm_config_set_clock(
    config: *mut Config,
    clock: Option<ClockFunction>,
    data: *mut c_void,
) {
    // SAFETY: guaranteed by the caller, as `loader/vm.h` requires.
    unsafe { object_mut(config) }.clock = clock.map(|clock| (clock, data));
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn dynvm_vm_new(module: *const Module, config: *const Config, out: *mut *mut Vm) -> *mut Error {
    attempt(|| {
        // SAFETY: guaranteed by the caller, as `loader/vm.h` requires.
        let (module, config) = unsafe { (object(module), object(config)) };
        let mut raw = ImageConfig::new(config.hostcalls.clone());
        raw.name.clone_from(&config.name);
        raw.memory_limit = config.memory_limit;
        raw.budget = config.budget;
        raw.check_addresses = config.check_addresses;
        if let Some((function, data)) = config.log {
            raw.log = Arc::new(CLog { function, data });
        }
        if let Some((may_call, data)) = config.may_call {
            // SAFETY: the host passed this function together with this data.
            raw.may_call = Some(Box::new(move |name| unsafe { may_call(data, name.as_ptr().cast(), name.len()) }));
        }
        if let Some((trace, data)) = config.trace {
            raw.trace = Some(Box::new(move |name, arguments, result| {
                let result = result.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
                // SAFETY: the host passed this function together with this data.
                unsafe {
                    trace(data, name.as_ptr().cast(), name.len(), arguments.as_ptr(), arguments.len(), result);
                }
            }));
        }
        if let Some((function, data)) = config.clock {
            raw.clock = Arc::new(CClock { function, data });
        }
        if let Some((variable, data)) = config.environment {
            raw.environment = Some(Box::new(move |name| {
                // SAFETY: the host passed this function together with this data.
                let value = unsafe { variable(data, name.as_ptr()) };
                (!value.is_null()).then_some(value)
            }));
        }
        let raw = NativeImage::new(module.module(), raw).map_err(|error| match error {
            StartError::Image { .. } => Error::new(Code::UnknownImport, error.to_string()),
            error => error.into(),
        })?;
        // SAFETY: `out` has room for a pointer, as `loader/vm.h` requires.
        unsafe { out.write(give(Vm { raw, _module: module.clone() })) };
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn dynvm_vm_open(vm: *mut Vm, mode: u32) -> *mut Error {
    attempt(|| {
        // SAFETY: guaranteed by the caller, as `loader/vm.h` requires.
        unsafe { object(vm) }.raw.open(of_bits(mode).traced)?;
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn dynvm_vm_free(vm: *mut Vm) {
    // SAFETY: guaranteed by the caller, as `loader/vm.h` requires.
    unsafe { free(vm) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn dynvm_vm_function(vm: *const Vm, name: *const c_char) -> usize {
    // SAFETY: guaranteed by the caller, as `loader/vm.h` requires.
    let (vm, name) = unsafe { (object(vm), text(name, "the function's name")) };
    name.ok().and_then(|name| vm.raw.function(name)).map_or(0, Function::address)
}

const _: () = assert!(Returned::CRASHED == Code::Failed as u32);

/// Prepares calls of a function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dynvm_vm_prepare(vm: *mut Vm, function: usize, out: *mut Prepared) -> bool {
    // SAFETY: guaranteed by the caller, as `loader/vm.h` requires.
    let image = unsafe { &object(vm).raw };
    let Some(prepared) =
        image.function_at(function).and_then(|function| image.prepare(function, call_slowly, vm.cast()))
    else {
        return false;
    };
    // SAFETY: `out` has room for it, as `loader/vm.h` requires.
    unsafe { out.write(prepared) };
    true
}

/// A prepared call for which more has to be done.
///
/// # Safety
///
/// `prepared` is from [`dynvm_vm_prepare`], whose VM was not freed.
unsafe extern "C" fn call_slowly(a: u64, b: u64, c: u64, d: u64, e: u64, prepared: *const Prepared) -> Returned {
    // SAFETY: guaranteed by the caller, as this function requires.
    unsafe { call((*prepared).owner().cast(), (*prepared).function(), [a, b, c, d, e], CallMode::default()) }
}

/// `DYNVM_CALL_*` of `loader/vm.h`.
fn of_bits(mode: u32) -> CallMode {
    CallMode { restricted: mode & 1 != 0, traced: mode & 2 != 0 }
}

/// Makes a call, if this VM's image has the function. The VM keeps a failure for
/// `dynvm_vm_failure`.
///
/// # Safety
///
/// As `NativeImage::call` for a function of the image; `vm` is an object that this API returned.
#[inline(always)]
unsafe fn call(vm: *mut Vm, function: usize, arguments: [u64; 5], mode: CallMode) -> Returned {
    // SAFETY: guaranteed by the caller, as this function requires.
    let vm = unsafe { object(vm) };
    let Some(function) = vm.raw.function_at(function) else {
        return Returned { value: 0, code: Code::Argument as u32 };
    };
    // SAFETY: guaranteed by the caller, as this function requires.
    match unsafe { vm.raw.call(function, arguments, mode) } {
        Ok(value) => Returned { value, code: 0 },
        Err(failure) => failed(failure),
    }
}

/// Drops the failure. A cold function, which keeps its code out of the path of calls that return.
#[cold]
fn failed(failure: Box<dynvm::Failure>) -> Returned {
    drop(failure);
    Returned { value: 0, code: Code::Failed as u32 }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn dynvm_vm_call(
    vm: *mut Vm,
    function: usize,
    a: u64,
    b: u64,
    c: u64,
    d: u64,
    e: u64,
) -> Returned {
    // SAFETY: guaranteed by the caller, as `loader/vm.h` requires.
    unsafe { call(vm, function, [a, b, c, d, e], CallMode::default()) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn dynvm_vm_call_in(
    vm: *mut Vm,
    mode: u32,
    function: usize,
    a: u64,
    b: u64,
    c: u64,
    d: u64,
    e: u64,
) -> Returned {
    // SAFETY: guaranteed by the caller, as `loader/vm.h` requires.
    unsafe { call(vm, function, [a, b, c, d, e], of_bits(mode)) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn dynvm_vm_call_through(
    vm: *mut Vm,
    function: *const c_void,
    data: *mut c_void,
    mode: u32,
) -> bool {
    // SAFETY: guaranteed by the caller, as `loader/vm.h` requires.
    let vm = unsafe { object(vm) };
    // SAFETY: the function takes a pointer and can be left without unwinding, as `loader/vm.h` requires.
    unsafe { vm.raw.call(Function::of_host(function), [data as u64, 0, 0, 0, 0], of_bits(mode)) }.is_ok()
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn dynvm_vm_allocate(vm: *mut Vm, size: usize, mode: u32) -> u64 {
    // SAFETY: guaranteed by the caller, as `loader/vm.h` requires.
    unsafe { object(vm) }.raw.allocate(size, of_bits(mode)).unwrap_or(0)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn dynvm_vm_is_running(vm: *const Vm) -> bool {
    // SAFETY: guaranteed by the caller, as `loader/vm.h` requires.
    unsafe { object(vm) }.raw.is_running()
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn dynvm_vm_has_failed(vm: *const Vm) -> bool {
    // SAFETY: guaranteed by the caller, as `loader/vm.h` requires.
    unsafe { object(vm) }.raw.has_failed()
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn dynvm_vm_failure(vm: *const Vm) -> *mut Error {
    // SAFETY: guaranteed by the caller, as `loader/vm.h` requires.
    let failure = unsafe { object(vm) }.raw.failure();
    failure.map_or(std::ptr::null_mut(), |failure| give(Error::new(Code::Failed, failure.message)))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn dynvm_vm_fail(vm: *mut Vm, why: *const c_char) {
    // SAFETY: guaranteed by the caller, as `loader/vm.h` requires.
    let (vm, why) = unsafe { (object(vm), text(why, "the reason")) };
    vm.raw.fail(why.unwrap_or("the host failed it"));
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn dynvm_vm_memory_size(vm: *const Vm) -> u64 {
    // SAFETY: guaranteed by the caller, as `loader/vm.h` requires.
    unsafe { object(vm) }.raw.memory_size().unwrap_or(0)
}

#[unsafe(no_mangle)]
pub extern "C" fn dynvm_is_readable(address: u64, size: u64) -> bool {
    dynvm::image::is_readable(address, size)
}

#[unsafe(no_mangle)]
pub extern "C" fn dynvm_is_writable(address: u64, size: u64) -> bool {
    dynvm::image::is_writable(address, size)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn dynvm_catch_faults(faults: *const Fault, count: usize) -> bool {
    // SAFETY: guaranteed by the caller, as `loader/vm.h` requires.
    count == 0 || unsafe { dynvm::image::catch_faults(std::slice::from_raw_parts(faults, count)) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn dynvm_vm_terminator(vm: *const Vm) -> *mut Ended {
    // SAFETY: guaranteed by the caller, as `loader/vm.h` requires.
    give(Ended(unsafe { object(vm) }.raw.terminator()))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn dynvm_terminator_terminate(terminator: *const Ended, milliseconds: u64) -> bool {
    // SAFETY: guaranteed by the caller, as `loader/vm.h` requires.
    unsafe { object(terminator) }.0.terminate(Duration::from_millis(milliseconds))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn dynvm_terminator_free(terminator: *mut Ended) {
    // SAFETY: guaranteed by the caller, as `loader/vm.h` requires.
    unsafe { free(terminator) }
}
