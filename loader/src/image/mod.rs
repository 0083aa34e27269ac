//! Native plugins for hosts that bring their own hostcalls.
//!
//! A [`Vm`](crate::Vm) is a whole Proxy-Wasm host. A host that already is one, such as proxy-wasm-cpp-host, needs less: a private image of
//! the plugin, calls of its functions that survive a crash, and the plugin's hostcalls bound to functions of its own. That is a [`NativeImage`].
//! The loader's C API (`loader/capi`) is this module in C.
//!
//! ```no_run
//! use dynvm::image::{Hostcalls, ImageConfig, NativeImage};
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
//! vm.open()?;
//! let on_context_create = vm.function("proxy_on_context_create").ok_or("not exported")?;
//! // SAFETY: the function takes two numbers.
//! unsafe { vm.call(on_context_create, [1, 0, 0, 0, 0], false)? };
//! # Ok(())
//! # }
//! ```

mod hostcalls;

use std::cell::OnceCell;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use dynvm_abi::table::HostcallId;

pub use hostcalls::{Hostcalls, UnknownHostcall};

use crate::backend::native::custom_hostcalls::{CustomHostcalls, MayCall};
use crate::backend::native::{NativeModule, NativeVm};
use crate::config::CallbackBudget;
use crate::error::{Failure, FailureKind, StartError};
use crate::host::{Log, Services, StderrLog};
use crate::instance::InstanceState;
use crate::instance::budget::{TERMINATED, WatchdogEntry};
use crate::{Module, VmConfig};

/// How a [`NativeImage`] runs.
#[non_exhaustive]
pub struct ImageConfig {
    /// Where the plugin's hostcalls go.
    pub hostcalls: Hostcalls,
    /// A name for messages.
    pub name: String,
    /// Takes what the plugin writes to standard output and error, and what the loader has to say of it. On other threads too, if there is a
    /// budget.
    pub log: Arc<dyn Log>,
    /// Most bytes of the plugin's heap, where it has one of its own. A plugin that wants more fails.
    pub memory_limit: Option<usize>,
    /// How long a call may take.
    pub budget: Option<CallbackBudget>,
    /// Asked for each hostcall during calls that are restricted; without it none is refused.
    pub may_call: Option<MayCall>,
}

impl ImageConfig {
    /// With these hostcalls, messages to standard error, and no limits.
    pub fn new(hostcalls: Hostcalls) -> ImageConfig {
        ImageConfig {
            hostcalls,
            name: String::new(),
            log: Arc::new(StderrLog::default()),
            memory_limit: None,
            budget: None,
            may_call: None,
        }
    }
}

/// The address of a function of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Function(usize);

impl Function {
    /// A function of the embedder's, which is to be called as those of the image are: to make a call of another type than they have.
    pub fn of_host(function: *const std::ffi::c_void) -> Function {
        Function(function as usize)
    }

    /// The address; never 0.
    pub fn address(self) -> usize {
        self.0
    }

    /// The function at an address that [`address`](Function::address) gave; `None` for 0.
    pub fn from_address(address: usize) -> Option<Function> {
        (address != 0).then_some(Function(address))
    }
}

/// A private image of a native plugin on one thread, whose hostcalls are the embedder's.
///
/// It belongs to the thread that opened it. Once the plugin has failed, it runs no more of its code.
pub struct NativeImage {
    // Before the state: closing the image may run destructors of the plugin, which make hostcalls.
    vm: OnceCell<NativeVm>,
    foreign: std::cell::Cell<Option<CustomHostcalls>>,
    state: Rc<InstanceState>,
    slot: Arc<WatchdogEntry>,
    module: Module,
    _not_send: PhantomData<*const ()>,
}

impl NativeImage {
    /// A VM whose image is not open yet: nothing of the plugin runs.
    ///
    /// # Errors
    ///
    /// The module is not native, or it imports hostcalls that are not bound: [`StartError::Image`] names them.
    pub fn new(module: &Module, config: ImageConfig) -> Result<NativeImage, StartError> {
        let native = native(module)?;
        let unbound: Vec<&str> = native.imports().filter(|name| !config.hostcalls.has(name)).collect();
        if !unbound.is_empty() {
            return Err(image_error(
                module,
                format!("it imports hostcalls that this host does not have: {}", unbound.join(", ")),
            ));
        }
        let mut vm_config = VmConfig::with_id(config.name);
        vm_config.memory_limit = config.memory_limit;
        let services = Services { log: config.log.clone(), ..Services::default() };
        let slot = match config.budget {
            Some(budget) => WatchdogEntry::new(budget, config.log, &vm_config.vm_id),
            None => WatchdogEntry::unwatched(CallbackBudget::fail(Duration::MAX), config.log, &vm_config.vm_id),
        };
        let state = InstanceState::with_slot(vm_config, services, module.info().abi_version, Some(slot.clone()));
        let foreign = CustomHostcalls::new(config.hostcalls.into_functions(), config.may_call);
        Ok(NativeImage {
            vm: OnceCell::new(),
            foreign: std::cell::Cell::new(Some(foreign)),
            state,
            slot,
            module: module.clone(),
            _not_send: PhantomData,
        })
    }

    /// Opens the image and runs its constructors: what runs before `_initialize`, `main` and `_start`, which are the embedder's to call. May
    /// make hostcalls; they are restricted if `may_call` is set.
    ///
    /// # Errors
    ///
    /// The system's loader refuses the image, a constructor failed, or the VM is open already.
    pub fn open(&self) -> Result<(), StartError> {
        let Some(foreign) = self.foreign.take() else {
            return Err(image_error(&self.module, "this VM was opened before".to_owned()));
        };
        let vm = native(&self.module)?.instantiate_custom(&self.state, foreign)?;
        let vm = self.vm.get_or_init(|| vm);
        let _running = self.slot.enter(None, 0);
        let restricted = vm.foreign().map(|foreign| foreign.restrict(true));
        let done = vm.run_constructors();
        if let (Some(foreign), Some(restricted)) = (vm.foreign(), restricted) {
            foreign.restrict(restricted);
        }
        done.map_err(|failure| {
            self.state.fail(failure.clone());
            StartError::Failed {
                module: self.module.name().to_owned(),
                function: "its constructors",
                failure: *failure,
            }
        })
    }

    /// The module.
    pub fn module(&self) -> &Module {
        &self.module
    }

    /// A function that the image itself exports; `None` before it is open.
    pub fn function(&self, name: &str) -> Option<Function> {
        self.vm.get()?.address(name).map(Function)
    }

    /// Calls a function, guarded: from outside of any call, or from within a hostcall. Where it does not take five arguments, the rest are
    /// ignored. Of the result, which may have 64 bits, only those that the function's type has are defined.
    ///
    /// During a `restricted` call each hostcall is asked about first (`ImageConfig::may_call`).
    ///
    /// # Errors
    ///
    /// The plugin failed, now or before, or the image is not open.
    ///
    /// # Safety
    ///
    /// The function is one of this VM's image, or of the host's, and takes at most five integers or pointers. A function of the host's
    /// has nothing to drop when it calls the image.
    #[inline(always)]
    pub unsafe fn call(&self, function: Function, arguments: [u64; 5], restricted: bool) -> Result<u64, Box<Failure>> {
        // On the way of every event of every stream: what only calls within calls and restricted ones need is left out.
        if let Some(vm) = self.vm.get()
            && !restricted
            && !self.state.has_failed()
            && !self.slot.is_terminated()
            && let Some(running) = self.slot.enter_raw()
        {
            // SAFETY: the caller's promise.
            let returned = unsafe { vm.call(function.0, arguments) };
            drop(running);
            return match returned {
                Ok(value) => Ok(value),
                Err(failure) => Err(self.failed(failure)),
            };
        }
        // Each for itself: an array in memory would cost the calls above the stores.
        let [a, b, c, d, e] = arguments;
        // SAFETY: the caller's promise.
        unsafe { self.call_within(function, restricted, a, b, c, d, e) }
    }

    /// A call within another, or a restricted one.
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
        restricted: bool,
        a: u64,
        b: u64,
        c: u64,
        d: u64,
        e: u64,
    ) -> Result<u64, Box<Failure>> {
        // SAFETY: the caller's promise.
        self.enter(restricted, |vm| unsafe { vm.call_again(function.0, [a, b, c, d, e]) })
    }

    /// Memory from the plugin's own allocator, which the plugin will free: `proxy_on_memory_allocate` or `malloc` of the image, else what its
    /// `free` takes.
    ///
    /// # Errors
    ///
    /// As [`call`](NativeImage::call); and if there is no memory.
    #[inline]
    pub fn allocate(&self, len: usize, restricted: bool) -> Result<u64, Box<Failure>> {
        let address = self.enter(restricted, |vm| vm.allocate(len))?;
        if address == 0 {
            let message = format!("the plugin's allocator has no {len} bytes");
            return Err(Failure::new(FailureKind::Limit, message));
        }
        Ok(address)
    }

    fn enter(
        &self,
        restricted: bool,
        call: impl FnOnce(&NativeVm) -> Result<u64, Box<Failure>>,
    ) -> Result<u64, Box<Failure>> {
        let vm = match self.vm.get() {
            Some(vm) if !self.state.has_failed() && !self.slot.is_terminated() => vm,
            _ => return Err(self.cannot_run()),
        };
        let running = self.slot.enter_raw();
        let foreign = vm.foreign();
        let before = foreign.map(|foreign| foreign.restrict(restricted));
        let returned = call(vm);
        if let (Some(foreign), Some(before)) = (foreign, before) {
            foreign.restrict(before);
        }
        drop(running);
        match returned {
            Ok(value) => Ok(value),
            Err(failure) => Err(self.failed(failure)),
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

    /// How the plugin failed, if it did.
    pub fn failure(&self) -> Option<Failure> {
        self.state.failure()
    }

    /// Whether the plugin has failed.
    #[inline]
    pub fn has_failed(&self) -> bool {
        self.state.has_failed()
    }

    /// Fails the VM for a reason of the embedder's. A hostcall that does so is not returned from: the call of the plugin ends with it.
    pub fn fail(&self, message: &str) {
        self.state.fail_with(FailureKind::Host, message);
    }

    /// Bytes of the plugin's heap, where it has one of its own.
    pub fn memory_size(&self) -> Option<u64> {
        use crate::backend::Instance as _;
        self.vm.get()?.memory_size()
    }

    /// What ends the plugin from another thread.
    pub fn terminator(&self) -> Terminator {
        Terminator { slot: self.slot.clone() }
    }
}

/// Whether these bytes can be read by the process. Needs an open VM with the guard in the process; without one only null is refused.
#[inline]
pub fn is_readable(address: u64, len: u64) -> bool {
    len == 0 || crate::backend::native::readable(address, len)
}

/// Whether these bytes can be written to, as [`is_readable`].
#[inline]
pub fn is_writable(address: u64, len: u64) -> bool {
    len == 0 || crate::backend::native::writable(address, len)
}

/// Ends a plugin from any thread.
#[derive(Clone)]
pub struct Terminator {
    slot: Arc<WatchdogEntry>,
}

impl Terminator {
    /// Has the plugin's call under way left and all later ones fail. Waits for the call to end, for at most so long. Returns whether the plugin
    /// runs no more: it cannot be made to leave a hostcall, or a library that it called.
    pub fn terminate(&self, patience: Duration) -> bool {
        self.slot.terminate(patience)
    }
}

/// What a module says of itself before anything of it runs.
impl Module {
    /// The hostcalls that a native module imports by name. Empty for wasm.
    pub fn hostcalls(&self) -> Vec<HostcallId> {
        let Some(native) = native_code(self) else { return Vec::new() };
        native.imports().filter_map(hostcalls::find).collect()
    }

    /// Whether a native module defines a function or object of this name. Its libraries do not count.
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
