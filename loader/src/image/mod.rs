//! Native plugins for hosts that implement their own hostcalls.
//!
//! A [`Vm`](crate::Vm) is a complete Proxy-Wasm host. A program that already is one, such as
//! proxy-wasm-cpp-host, needs less: a private image of the plugin, calls of its functions that
//! survive a crash, and hostcalls bound to its own functions. That is a [`NativeImage`]. The
//! loader's C API (`loader/capi`) wraps this module.
//!
//! ```no_run
//! use dynvm::image::{CallMode, Hostcalls, ImageConfig, NativeImage};
//! use dynvm::{Loader, LoaderOptions};
//!
//! extern "C" fn log(level: u64, message: u64, size: u64) -> u64 {
//!     // The loader has made sure that these bytes can be read.
//!     let message = unsafe { std::slice::from_raw_parts(message as *const u8, size as usize) };
//!     println!("{level}: {}", String::from_utf8_lossy(message));
//!     0
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let loader = Loader::with_options(LoaderOptions::default().allow_native())?;
//! let module = loader.load_file("plugin.so")?;
//! let mut hostcalls = Hostcalls::default();
//! // SAFETY: this is proxy_log's type, every parameter in 64 bits.
//! unsafe { hostcalls.bind("proxy_log", log as *const _)? };
//! let vm = NativeImage::new(&module, ImageConfig::new(hostcalls))?;
//! vm.open(false)?;
//! let on_context_create = vm.function("proxy_on_context_create").ok_or("not exported")?;
//! // SAFETY: the function takes two numbers.
//! unsafe { vm.call(on_context_create, [1, 0, 0, 0, 0], CallMode::default())? };
//! # Ok(())
//! # }
//! ```

mod hostcalls;

use std::cell::OnceCell;
use std::ffi::c_void;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use dynvm_abi::table::HostcallId;

pub use hostcalls::{BindError, Hostcalls};

pub use crate::backend::native::Fault;
use crate::backend::native::custom_hostcalls::{CustomHostcalls, Mode};
pub use crate::backend::native::custom_hostcalls::{MayCall, Trace, Variables};
pub use crate::backend::native::prepared::{Prepared, PreparedCall, Returned};
use crate::backend::native::{NativeModule, NativeVm};
use crate::config::CallbackBudget;
use crate::error::{Failure, FailureKind, StartError};
use crate::host::{Clock, Log, Services, StderrLog, SystemClock};
use crate::instance::InstanceState;
use crate::instance::budget::{TERMINATED, WatchdogEntry};
use crate::{Module, VmConfig};

/// Configuration of a [`NativeImage`].
#[non_exhaustive]
pub struct ImageConfig {
    /// Implementations of the plugin's hostcalls.
    pub hostcalls: Hostcalls,
    /// A name for messages.
    pub name: String,
    /// Receives standard output and error of the plugin, and messages of the loader about it. With
    /// a budget, also called on the watchdog's thread.
    pub log: Arc<dyn Log>,
    /// Size limit in bytes of the plugin's private heap, if it has one. A plugin that needs more
    /// fails.
    pub memory_limit: Option<usize>,
    /// Time limit of a call; `None`: unlimited.
    pub budget: Option<CallbackBudget>,
    /// Decides about each hostcall during restricted calls; without it, all are allowed.
    pub may_call: Option<MayCall>,
    /// Receives each hostcall during traced calls.
    pub trace: Option<Trace>,
    /// Source of time for the C library's functions in the plugin.
    pub clock: Arc<dyn Clock>,
    /// Checks addresses in hostcalls before the embedder's functions get them. Without this check
    /// they have to ([`is_readable`], [`is_writable`]). Default true.
    pub check_addresses: bool,
    /// Environment variables, which the plugin sees before those of the process.
    pub environment: Option<Variables>,
}

impl ImageConfig {
    /// A configuration with these hostcalls, messages to standard error, and no limits.
    pub fn new(hostcalls: Hostcalls) -> ImageConfig {
        ImageConfig {
            hostcalls,
            name: String::new(),
            log: Arc::new(StderrLog::default()),
            memory_limit: None,
            budget: None,
            may_call: None,
            trace: None,
            clock: Arc::new(SystemClock),
            check_addresses: true,
            environment: None,
        }
    }
}

/// How hostcalls are made during a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallMode {
    /// [`ImageConfig::may_call`] decides about each.
    pub restricted: bool,
    /// [`ImageConfig::trace`] receives each.
    pub traced: bool,
}

impl CallMode {
    fn mode(self) -> Mode {
        Mode::of(self.restricted, self.traced)
    }
}

/// The address of a function of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Function(usize);

impl Function {
    /// A function of the embedder that can be called like those of the image: for calls of
    /// functions with other types.
    pub fn of_host(function: *const c_void) -> Function {
        Function(function as usize)
    }

    /// The address; never 0.
    pub fn address(self) -> usize {
        self.0
    }
}

/// A private image of a native plugin on one thread, with hostcalls implemented by the embedder.
///
/// It belongs to the thread that opened it. After a failure of the plugin it runs no more code.
pub struct NativeImage {
    // Dropped before the state: closing the image may run destructors of the plugin, which make
    // hostcalls.
    vm: OnceCell<NativeVm>,
    foreign: std::cell::Cell<Option<CustomHostcalls>>,
    state: Rc<InstanceState>,
    slot: Arc<WatchdogEntry>,
    module: Module,
    _not_send: PhantomData<*const ()>,
}

/// In place of a function's address, for the watchdog.
const ALLOCATOR: usize = 1;

impl NativeImage {
    /// A VM whose image is not open yet: no code of the plugin runs.
    ///
    /// # Errors
    ///
    /// [`StartError::Image`]: the module is not native, or imports hostcalls that are not bound,
    /// which the error names.
    pub fn new(module: &Module, config: ImageConfig) -> Result<NativeImage, StartError> {
        let native = native(module)?;
        let unbound: Vec<&str> = native.imports().filter(|name| !config.hostcalls.has(name)).collect();
        if !unbound.is_empty() {
            return Err(image_error(
                module,
                format!("it imports hostcalls that this host does not have: {}", unbound.join(", ")),
            ));
        }
        native.install_handlers();
        let mut vm_config = VmConfig::with_id(config.name);
        vm_config.memory_limit = config.memory_limit;
        let services = Services { log: config.log.clone(), clock: config.clock, ..Services::default() };
        let slot = match config.budget {
            Some(budget) => WatchdogEntry::new(budget, config.log, &vm_config.vm_id),
            None => WatchdogEntry::unwatched(CallbackBudget::fail(Duration::MAX), config.log, &vm_config.vm_id),
        };
        let state = InstanceState::with_slot(vm_config, services, module.info().abi_version, Some(slot.clone()));
        slot.name_function(ALLOCATOR, "its allocator");
        let foreign = CustomHostcalls::new(
            config.hostcalls.0,
            config.may_call,
            config.trace,
            config.environment,
            config.check_addresses,
        );
        Ok(NativeImage {
            vm: OnceCell::new(),
            foreign: std::cell::Cell::new(Some(foreign)),
            state,
            slot,
            module: module.clone(),
            _not_send: PhantomData,
        })
    }

    /// Opens the image and runs its constructors, which precede `_initialize`, `main` and `_start`;
    /// those are left to the embedder. Constructors can make hostcalls, which are always
    /// restricted.
    ///
    /// # Errors
    ///
    /// The system's loader rejects the image, a constructor fails, the VM was terminated, or it was
    /// opened before.
    pub fn open(&self, traced: bool) -> Result<(), StartError> {
        let failed = |failure: Box<Failure>| {
            self.state.fail(failure.clone());
            StartError::Failed {
                module: self.module.name().to_owned(),
                function: "its constructors",
                failure: *failure,
            }
        };
        if self.slot.is_terminated() {
            return Err(failed(Failure::new(FailureKind::Limit, TERMINATED)));
        }
        let Some(foreign) = self.foreign.take() else {
            return Err(image_error(&self.module, "this VM was opened before".to_owned()));
        };
        let vm = native(&self.module)?.instantiate_custom(&self.state, foreign)?;
        let vm = self.vm.get_or_init(|| vm);
        let _running = self.slot.enter(None, 0);
        let before = vm.enter_mode(Mode::of(true, traced));
        let done = vm.run_constructors();
        vm.enter_mode(before);
        done.map_err(failed)
    }

    /// The module of the image.
    pub fn module(&self) -> &Module {
        &self.module
    }

    /// A function that the image itself exports; `None` before the image is open. Messages about
    /// calls of it have this name.
    pub fn function(&self, name: &str) -> Option<Function> {
        let address = self.vm.get()?.address(name)?;
        self.slot.name_function(address, name);
        Some(Function(address))
    }

    /// The function at an address from [`Function::address`]; `None` if this image does not have it,
    /// or is not open.
    #[inline]
    pub fn function_at(&self, address: usize) -> Option<Function> {
        self.vm.get()?.contains(address).then_some(Function(address))
    }

    /// Prepares calls of a function, which then take few instructions: [`Prepared::call`].
    ///
    /// The slow path is called instead, with the same arguments, where more has to be done: for a VM that failed or was terminated, inside
    /// of a hostcall of any VM, in another process after a fork, and on platforms other than x86-64 Linux. It makes the call as
    /// [`call`](NativeImage::call) does, and finds its data in [`Prepared::owner`]. `None` before the image is open.
    pub fn prepare(&self, function: Function, slow: PreparedCall, owner: *mut c_void) -> Option<Prepared> {
        Some(self.vm.get()?.prepare(function.0, slow, owner))
    }

    /// Calls a function with crash containment, from outside any call or inside a hostcall. A
    /// function with fewer than five arguments ignores the rest. Of the 64 bits of the result, only
    /// those of the function's type are defined.
    ///
    /// # Errors
    ///
    /// The plugin failed, now or before, or the image is not open.
    ///
    /// # Safety
    ///
    /// The function belongs to this VM's image or to the embedder, and takes at most five integers
    /// or pointers. A function of the embedder holds no value with a destructor when it calls the image.
    #[inline(always)]
    pub unsafe fn call(&self, function: Function, arguments: [u64; 5], mode: CallMode) -> Result<u64, Box<Failure>> {
        // Every event of every stream takes this path, so it omits what only nested, restricted and
        // traced calls need.
        if let Some(vm) = self.vm.get()
            && mode == CallMode::default()
            && !self.state.has_failed()
            && !self.slot.is_terminated()
            && let Some(running) = self.slot.enter_raw(function.0)
        {
            // SAFETY: the caller upholds the contract of this function.
            let returned = unsafe { vm.call(function.0, arguments) };
            drop(running);
            return match returned {
                Ok(value) => Ok(value),
                Err(failure) => Err(self.failed(failure)),
            };
        }
        // Passed one by one: as an array in memory they would cost the path above its stores.
        let [a, b, c, d, e] = arguments;
        // SAFETY: the caller upholds the contract of this function.
        unsafe { self.call_within(function, mode, a, b, c, d, e) }
    }

    /// A nested, restricted or traced call.
    ///
    /// # Safety
    ///
    /// As [`call`](NativeImage::call).
    #[cold]
    #[inline(never)]
    #[expect(clippy::too_many_arguments, reason = "the numbers are in registers")]
    unsafe fn call_within(
        &self,
        function: Function,
        mode: CallMode,
        a: u64,
        b: u64,
        c: u64,
        d: u64,
        e: u64,
    ) -> Result<u64, Box<Failure>> {
        // SAFETY: the caller upholds the contract of this function.
        self.enter(function.0, mode, |vm| unsafe { vm.call_again(function.0, [a, b, c, d, e]) })
    }

    /// Allocates memory that the plugin will free: with `proxy_on_memory_allocate` or `malloc` of
    /// the image, otherwise with the allocator of its `free`.
    ///
    /// # Errors
    ///
    /// As [`call`](NativeImage::call), or no memory is available.
    #[inline]
    pub fn allocate(&self, len: usize, mode: CallMode) -> Result<u64, Box<Failure>> {
        let vm = self.able_to_run()?;
        let address = match vm.allocator() {
            Some(function) => self.enter(ALLOCATOR, mode, |vm| {
                // SAFETY: the plugin exports this function, which takes a size.
                unsafe { vm.call_again(function, [len as u64, 0, 0, 0, 0]) }
            })?,
            None => vm.allocate(len),
        };
        if address == 0 {
            let message = format!("the plugin's allocator has no {len} bytes");
            return Err(Failure::new(FailureKind::Limit, message));
        }
        Ok(address)
    }

    fn enter(
        &self,
        function: usize,
        mode: CallMode,
        call: impl FnOnce(&NativeVm) -> Result<u64, Box<Failure>>,
    ) -> Result<u64, Box<Failure>> {
        let vm = self.able_to_run()?;
        let running = self.slot.enter_raw(function);
        let before = vm.enter_mode(mode.mode());
        let returned = call(vm);
        vm.enter_mode(before);
        drop(running);
        match returned {
            Ok(value) => Ok(value),
            Err(failure) => Err(self.failed(failure)),
        }
    }

    #[inline]
    fn able_to_run(&self) -> Result<&NativeVm, Box<Failure>> {
        match self.vm.get() {
            Some(vm) if !self.state.has_failed() && !self.slot.is_terminated() => Ok(vm),
            _ => Err(self.cannot_run()),
        }
    }

    #[cold]
    fn failed(&self, failure: Box<Failure>) -> Box<Failure> {
        self.state.fail(failure.clone());
        failure
    }

    #[cold]
    fn cannot_run(&self) -> Box<Failure> {
        if let Some(failure) = self.state.failure() {
            return Box::new(failure);
        }
        let failure = match self.vm.get() {
            Some(_) => Failure::new(FailureKind::Limit, TERMINATED),
            None => return Failure::new(FailureKind::Host, "the VM was not opened"),
        };
        self.state.fail(failure.clone());
        failure
    }

    /// True during a call of the plugin, also inside a hostcall. False while its destructors run at the VM's
    /// end.
    pub fn is_running(&self) -> bool {
        self.slot.is_running()
    }

    /// The failure of the plugin, if it has failed.
    pub fn failure(&self) -> Option<Failure> {
        self.state.failure()
    }

    /// True if the plugin has failed.
    #[inline]
    pub fn has_failed(&self) -> bool {
        self.state.has_failed()
    }

    /// Fails the VM for a reason of the embedder. Inside a hostcall this ends the plugin's call:
    /// control does not return to the plugin.
    pub fn fail(&self, message: &str) {
        self.state.fail_with(FailureKind::Host, message);
    }

    /// Bytes of the plugin's private heap, if it has one.
    pub fn memory_size(&self) -> Option<u64> {
        use crate::backend::Instance as _;
        self.vm.get()?.memory_size()
    }

    /// A handle that ends the plugin from another thread.
    pub fn terminator(&self) -> Terminator {
        Terminator { slot: self.slot.clone() }
    }
}

impl Drop for NativeImage {
    /// Waits for a report of the watchdog about this VM, whose log may be the embedder's no longer.
    fn drop(&mut self) {
        self.slot.end_reports();
    }
}

/// True if the process can read these bytes. Needs a [`NativeImage`] with crash containment in the
/// process, open or not; without one, only null is refused.
#[inline]
pub fn is_readable(address: u64, len: u64) -> bool {
    len == 0 || crate::backend::native::readable(address, len)
}

/// True if the process can write these bytes. Otherwise like
/// [`is_readable`].
#[inline]
pub fn is_writable(address: u64, len: u64) -> bool {
    len == 0 || crate::backend::native::writable(address, len)
}

/// Makes instructions of the embedder go on at their landings if they fault: for checks of addresses in the embedder's own code. Needs what
/// [`is_readable`] needs. Naming the same array again has no effect. False if there are 8 others.
///
/// # Safety
///
/// Where an instruction of the array faults, execution can go on at its landing, with the registers as they are, on any thread.
pub unsafe fn catch_faults(faults: &'static [Fault]) -> bool {
    crate::backend::native::catch_faults(faults)
}

/// Ends a plugin from any thread.
#[derive(Clone)]
pub struct Terminator {
    slot: Arc<WatchdogEntry>,
}

impl Terminator {
    /// Aborts the plugin's running call and makes all later ones fail. Blocks for at most
    /// `patience`. Returns true if the plugin no longer runs, false if it is still inside a
    /// hostcall or a library that it called.
    pub fn terminate(&self, patience: Duration) -> bool {
        self.slot.terminate(patience)
    }
}

/// Facts about a native module, known before any of its code runs.
impl Module {
    /// The hostcalls that a native module imports. Empty for wasm.
    pub fn hostcalls(&self) -> Vec<HostcallId> {
        let Some(native) = native_code(self) else { return Vec::new() };
        native.imports().filter_map(hostcalls::find).collect()
    }

    /// True if a native module itself defines a function or object of this name; its libraries do
    /// not count.
    pub fn defines(&self, name: &str) -> bool {
        native_code(self).is_some_and(|native| native.defines(name))
    }
}

fn native(module: &Module) -> Result<&NativeModule, StartError> {
    native_code(module)
        .ok_or_else(|| image_error(module, "a VM with hostcalls of the embedder's runs native plugins only".to_owned()))
}

fn native_code(module: &Module) -> Option<&NativeModule> {
    (module.code() as &dyn std::any::Any).downcast_ref()
}

fn image_error(module: &Module, message: String) -> StartError {
    StartError::Image { module: module.name().to_owned(), message }
}
