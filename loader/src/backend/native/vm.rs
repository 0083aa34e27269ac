//! A running instance of a native module.

use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::mem::offset_of;
use std::num::NonZero;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::ThreadId;

use dynvm_heap::Heap;

use super::containment::Walking;
use super::crash_cause::{Cause, Crash};
use super::custom_hostcalls::{CustomHostcalls, Mode};
use super::destructors::Destructor;
use super::environment::Environment;
use super::exception::Exceptions;
use super::exports::{Callbacks, Exports, Start};
use super::functions::FunctionNames;
use super::guard::{self, Frame, Outcome};
use super::keys::Key;
use super::mapping::Mapping;
use super::module::NativeModule;
use super::prepared::{Prepared, PreparedCall};
use super::thread_context::ThreadContext;
use super::{child_process, current_instance, heap, hostcall_entries, keys, locale, signals, thread_stack};
use crate::backend::{CallbackResult, NotStarted, Returned};
use crate::error::{Failure, FailureKind, StartError};
use crate::instance::InstanceState;
use crate::instance::budget::{NativeAccess, TERMINATED, WatchdogEntry};
use crate::pin::PinReason;
use dynvm_abi::table::CallbackId;
#[cfg(all(feature = "native", target_os = "linux", target_arch = "x86_64"))]
use dynvm_abi::table::HOSTCALLS;

/// What a hostcall or a signal handler needs to know of the instance that runs on its thread.
pub(super) struct Instance {
    state: Rc<InstanceState>,
    /// The embedder's hostcalls; `None`: the loader's own.
    pub(super) foreign: Option<CustomHostcalls>,
    pub(super) frame: Frame,
    /// The addresses that the image takes.
    pub(super) span: Range<usize>,
    /// What addresses in messages are relative to.
    pub(super) origin: usize,
    /// Those of a linked plugin, whose code all its VMs share.
    #[cfg(feature = "null")]
    pub(super) thread_locals: super::linked::PrivateThreadLocals,
    /// How the last guarded call ended, if it did not return.
    pub(super) crash: Cell<Option<Crash>>,
    /// More about the crash: the type of an exception.
    pub(super) detail: RefCell<Option<String>>,
    /// What ended a call whose stack is being walked, and how far the walk has come.
    pub(super) walking: Cell<Option<Walking>>,
    /// A hostcall is under way: what is on the stack above the plugin's frames is the host's.
    pub(super) in_host: Cell<bool>,
    /// The embedder's functions, for hostcalls that do no more.
    #[cfg(all(feature = "native", target_os = "linux", target_arch = "x86_64"))]
    pub(super) direct: [*const c_void; HOSTCALLS.len()],
    /// The watchdog's entry, which the state keeps; null: there is none.
    pub(super) slot: *const WatchdogEntry,
    /// Where the thread's stack ends, and how much of it must be left to enter the host.
    pub(super) stack: Cell<(usize, usize)>,
    /// Above this, enough of it is left for sure.
    pub(super) stack_limit: Cell<usize>,
    /// The same for hostcalls that are no more than a call of the embedder's function; the highest address while they check addresses, decide,
    /// trace, or are the loader's own.
    pub(super) direct_stack_limit: Cell<usize>,
    /// Exceptions of this thread that the C++ library knows of, if the image uses it.
    exceptions: Option<Exceptions>,
    pub(super) environment: Environment,
    pub(super) thread_context: ThreadContext,
    pub(super) thread_destructors: RefCell<Vec<Destructor>>,
    pub(super) static_destructors: RefCell<Vec<Destructor>>,
    pub(super) keys: RefCell<Vec<Key>>,
    pub(super) replaced_locale: locale::Replaced,
    pub(super) mapping: Arc<Mapping>,
    functions: FunctionNames,
    /// The plugin's allocator; `None`: it frees with `free`.
    pub(super) allocator: Option<usize>,
    guarded: bool,
    /// Calls a function: guarded, or such that a crash ends the process.
    enter: unsafe extern "C" fn(u64, u64, u64, u64, u64, *const Frame, usize) -> Outcome,
}

impl Instance {
    pub(super) fn state(&self) -> &InstanceState {
        &self.state
    }

    /// The VM's heap; `None`: the image allocates from the C library.
    #[inline]
    pub(super) fn heap(&self) -> Option<&Heap> {
        self.mapping.heap()
    }

    /// Calls a function of the image, as the running instance of this thread.
    ///
    /// # Safety
    ///
    /// The function takes at most five integers or pointers.
    #[inline]
    pub(super) unsafe fn call(&self, function: usize, [a, b, c, d, e]: [u64; 5]) -> Result<u64, Box<Failure>> {
        let entered = current_instance::enter(self);
        if self.keeps_state() {
            // SAFETY: the caller's promise.
            return unsafe { self.call_keeping_state(function, a, b, c, d, e, entered.is_nested()) };
        }
        // SAFETY: the caller's promise; the frame is part of self.
        let outcome = unsafe { (self.enter)(a, b, c, d, e, &self.frame, function) };
        if outcome.crashed == 0 { Ok(outcome.value) } else { Err(self.did_not_return()) }
    }

    /// Whether state of the thread has to be kept around a call.
    #[inline]
    fn keeps_state(&self) -> bool {
        #[cfg(feature = "null")]
        if !self.thread_locals.are_in_place() {
            return true;
        }
        self.exceptions.is_some()
    }

    /// The same call, for C++ plugins, and for linked ones of which another VM ran on this thread. Arguments are passed one by one: an array
    /// would be stored for every call.
    ///
    /// # Safety
    ///
    /// As `call`.
    #[expect(clippy::too_many_arguments, reason = "the function's")]
    #[cold]
    #[inline(never)]
    unsafe fn call_keeping_state(
        &self,
        function: usize,
        a: u64,
        b: u64,
        c: u64,
        d: u64,
        e: u64,
        #[cfg_attr(not(feature = "null"), expect(unused_variables, reason = "variables are never exchanged"))]
        is_nested: bool,
    ) -> Result<u64, Box<Failure>> {
        #[cfg(feature = "null")]
        let before = self.thread_locals.put_in_place();
        let exceptions = self.exceptions.map(|exceptions| (exceptions, exceptions.save()));
        // SAFETY: the caller's promise; the frame is part of self.
        let outcome = unsafe { (self.enter)(a, b, c, d, e, &self.frame, function) };
        // The other VM may be in a hostcall.
        #[cfg(feature = "null")]
        if is_nested {
            self.thread_locals.put_back(before);
        }
        if outcome.crashed == 0 {
            return Ok(outcome.value);
        }
        if let Some((exceptions, saved)) = exceptions {
            exceptions.restore(saved);
        }
        Err(self.did_not_return())
    }

    /// Why a call did not come to its end.
    #[cold]
    #[inline(never)]
    fn did_not_return(&self) -> Box<Failure> {
        if self.frame.is_forked() {
            child_process::has_returned();
        }
        if self.guarded {
            return self.crashed();
        }
        // A failure in a hostcall could not leave the call.
        let failure = self.state.failure();
        failure.map_or_else(|| Failure::new(FailureKind::Host, UNKNOWN), Box::new)
    }

    /// Sets the limits again: the stack, or how hostcalls are made, has changed.
    #[inline]
    pub(super) fn set_stack_limits(&self) {
        let (lowest, reserve) = self.stack.get();
        let is_indirect = self.foreign.as_ref().is_none_or(CustomHostcalls::is_indirect);
        self.stack_limit.set(lowest + reserve);
        self.direct_stack_limit.set(if is_indirect { usize::MAX } else { lowest + reserve });
    }

    /// Keeps a destructor of a static variable. Statics that VMs share are never destroyed.
    pub(super) fn at_exit(&self, destructor: Destructor) {
        if !self.mapping.image().shares_statics() {
            self.static_destructors.borrow_mut().push(destructor);
        }
    }

    pub(super) fn is_guarded(&self) -> bool {
        self.guarded
    }

    /// Fails the VM after a prepared call, around which no other was, did not return.
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    #[cold]
    pub(super) fn prepared_call_crashed(&self) {
        if self.frame.is_forked() {
            child_process::has_returned();
        }
        if let Some(exceptions) = self.exceptions {
            // While no plugin runs on the thread, none is under way.
            exceptions.restore([0; 2]);
        }
        let failure = self.crashed();
        if let Some(slot) = self.state.slot() {
            slot.leave_prepared();
        }
        self.state.fail(failure);
    }

    /// How the last guarded call ended.
    #[cold]
    fn crashed(&self) -> Box<Failure> {
        // A hostcall that the call was left from did not come to its end.
        self.in_host.set(false);
        signals::restore_mask();
        let detail = self.detail.take();
        let Some(Crash { cause, backtrace }) = self.crash.take() else {
            return Failure::new(FailureKind::Host, UNKNOWN);
        };
        let (kind, message) = match (cause, self.state.failure()) {
            (Cause::Hostcall, Some(failure)) => (failure.kind, failure.message),
            (Cause::Fault { .. } | Cause::StackOverflow | Cause::HeapDefect(_), _) => {
                (FailureKind::Trap, cause.describe())
            }
            (Cause::Overrun, _) if self.state.slot().is_some_and(|slot| slot.is_terminated()) => {
                (FailureKind::Limit, TERMINATED.to_owned())
            }
            (Cause::MemoryLimit | Cause::Overrun, _) => (FailureKind::Limit, cause.describe()),
            (cause, _) => (FailureKind::Exit, cause.describe()),
        };
        let detail = detail.map(|detail| format!(": {detail}")).unwrap_or_default();
        Failure::new(kind, format!("{message}{detail}{}", self.functions.describe(backtrace.frames())))
    }
}

/// The message of a failure without a reason.
const UNKNOWN: &str = "the plugin's call was left without a reason";

/// Calls a function of an instance without a guard. An exception that leaves it ends the process here, with a message, and not in a frame
/// that knows nothing of it.
///
/// # Safety
///
/// The function takes at most five integers or pointers. The frame is an instance's, which outlives the call.
unsafe extern "C" fn call_or_abort(
    a: u64,
    b: u64,
    c: u64,
    d: u64,
    e: u64,
    frame: *const Frame,
    function: usize,
) -> Outcome {
    type Function = unsafe extern "C-unwind" fn(u64, u64, u64, u64, u64) -> u64;
    // SAFETY: the caller's promise. Surplus arguments are in registers, which a C function may ignore.
    let value = unsafe { std::mem::transmute::<usize, Function>(function)(a, b, c, d, e) };
    // SAFETY: the frame is part of an instance.
    let instance = unsafe { &*frame.byte_sub(offset_of!(Instance, frame)).cast::<Instance>() };
    Outcome { value, crashed: u64::from(instance.state.has_failed()) }
}

/// A native module that runs.
pub(crate) struct NativeVm {
    // Boxed: hostcalls find it by its address.
    instance: Box<Instance>,
    start: Start,
    callbacks: Callbacks<NonZero<usize>>,
    exports: Arc<Exports>,
    /// Why a crash ends the process.
    uncontained: Option<&'static str>,
    current_thread: ThreadId,
}

macro_rules! narrow {
    (none, $value:expr) => {{
        let _ = $value;
        0
    }};
    // Rust returns bool, of which only the low byte is defined, C++ returns uint32_t.
    (bool, $value:expr) => {
        u32::from($value as u8)
    };
    (action, $value:expr) => {
        $value as u32
    };
}

macro_rules! native_callbacks {
    ($($name:ident($($param:ident: $ty:ident),*) -> $ret:ident $versions:ident;)*) => {
        impl crate::backend::Instance for NativeVm {
            fn initialize(&mut self) -> Result<(), NotStarted> {
                self.run_constructors()?;
                Ok(self.run_start_functions()?)
            }

            fn exports(&self, callback: CallbackId) -> bool {
                match callback {
                    $(CallbackId::$name => self.callbacks.$name.is_some(),)*
                    _ => false,
                }
            }

            fn memory_size(&self) -> Option<u64> {
                Some(self.instance.heap()?.used() as u64)
            }

            fn uncontained(&self) -> Option<&'static str> {
                self.uncontained
            }

            fn pinned(&self) -> Option<PinReason> {
                self.instance.replaced_locale.is_any().then_some(PinReason::Locale)
            }

            fn enter_thread(&mut self) {
                self.set_thread(std::thread::current().id());
            }

            $(
                #[inline]
                fn $name(&mut self, $($param: dynvm_abi::__callback_type!($ty)),*) -> Returned {
                    let Some(function) = self.callbacks.$name else { return Ok(CallbackResult::NOT_EXPORTED) };
                    // SAFETY: the plugin exports this function, whose parameters are those of the ABI: integers, five at most.
                    let value = unsafe { self.instance.call(function.get(), arguments([$($param as u64),*]))? };
                    Ok(CallbackResult::new(narrow!($ret, value)))
                }
            )*
        }
    };
}

dynvm_abi::callbacks!(native_callbacks);

#[inline]
fn arguments<const COUNT: usize>(given: [u64; COUNT]) -> [u64; 5] {
    let mut all = [0; 5];
    all[..COUNT].copy_from_slice(&given);
    all
}

impl NativeVm {
    pub(super) fn new(
        module: &NativeModule,
        state: Rc<InstanceState>,
        foreign: Option<CustomHostcalls>,
    ) -> Result<NativeVm, StartError> {
        let failed = |message| StartError::Image { module: module.name.clone(), message };
        let guarded = module.is_guarded();
        let mut uncontained = module.uncontained();
        let own = foreign.as_ref().map(CustomHostcalls::own_names).unwrap_or_default();
        let mapping = module.map(state.config.memory_limit, &own).map_err(failed)?;
        if guarded {
            child_process::watch();
            if !signals::install() {
                uncontained = Some("too many handlers of SIGSEGV and its like were installed after the loader's");
            }
            signals::prepare_thread();
        }
        let exceptions = if guarded { module.exceptions() } else { None };
        let base = mapping.image().base();
        let exports = module.exports(mapping.image());
        let callbacks = exports.callbacks.at(base, &state.config.capabilities);
        let functions = module.functions(&mapping);
        let stack = if guarded { thread_stack::end() } else { (0, 0) };
        let instance = Instance {
            frame: Frame::default(),
            span: mapping.image().span(),
            origin: mapping.image().origin(),
            #[cfg(feature = "null")]
            thread_locals: mapping.image().thread_locals(),
            crash: Cell::new(None),
            detail: RefCell::default(),
            walking: Cell::new(None),
            in_host: Cell::new(false),
            #[cfg(all(feature = "native", target_os = "linux", target_arch = "x86_64"))]
            direct: foreign.as_ref().map_or([std::ptr::null(); _], CustomHostcalls::table),
            slot: state.slot().map_or(std::ptr::null(), Arc::as_ptr),
            stack: Cell::new(stack),
            stack_limit: Cell::new(usize::MAX),
            direct_stack_limit: Cell::new(usize::MAX),
            exceptions,
            environment: Environment::new(&state.config.environment),
            thread_context: ThreadContext::default(),
            thread_destructors: RefCell::default(),
            static_destructors: RefCell::default(),
            keys: RefCell::default(),
            replaced_locale: locale::Replaced::default(),
            mapping: Arc::new(mapping),
            functions: functions.clone(),
            foreign,
            allocator: exports.allocator.map(|offset| base.wrapping_add(offset)),
            guarded,
            enter: if guarded { guard::call } else { call_or_abort },
            state,
        };
        instance.set_stack_limits();
        instance.frame.note_arithmetic();
        if let (true, Some(slot)) = (guarded, instance.state.slot()) {
            signals::install_interrupt();
            slot.set_native(NativeAccess {
                this_thread: signals::this_thread,
                interrupt: signals::interrupt,
                describe: Box::new(move |frames| functions.describe(frames)),
            });
        }
        Ok(NativeVm {
            instance: Box::new(instance),
            start: exports.start.at(base),
            callbacks,
            exports,
            uncontained,
            current_thread: std::thread::current().id(),
        })
    }

    /// Replaces what the instance knows of its thread, if that is another one now.
    fn set_thread(&mut self, thread: ThreadId) {
        if std::mem::replace(&mut self.current_thread, thread) == thread {
            return;
        }
        let instance = &mut *self.instance;
        if instance.guarded {
            signals::prepare_new_thread();
            instance.stack.set(thread_stack::end());
            instance.set_stack_limits();
            instance.frame.note_arithmetic();
            instance.exceptions = instance.exceptions.map(Exceptions::on_this_thread);
        }
        if let Some(slot) = instance.state.slot() {
            slot.enter_thread();
        }
    }

    /// Runs what has to run before anything else: constructors, and the function that takes the host's table.
    pub(crate) fn run_constructors(&self) -> Result<(), Box<Failure>> {
        let image = self.instance.mapping.image();
        // SAFETY: a resolver or constructor of the image, with its arguments.
        image.initialize(&mut |function, arguments| unsafe { self.instance.call(function, arguments) })?;
        if let Some(set_host) = self.start.set_host {
            // SAFETY: the plugin exports this function, which takes the table; that lives for ever.
            unsafe { self.instance.call(set_host, [&raw const hostcall_entries::HOST as u64, 0, 0, 0, 0])? };
        }
        Ok(())
    }

    fn run_start_functions(&self) -> Result<(), Box<Failure>> {
        let functions = match self.start.initialize {
            Some(initialize) => [Some(initialize), self.start.main],
            None => [self.start.start, None],
        };
        for function in functions.into_iter().flatten() {
            // SAFETY: the plugin exports this function, which takes nothing, or argc and argv: 0 and null.
            unsafe { self.instance.call(function, [0; 5])? };
        }
        Ok(())
    }

    /// Changes how the embedder's hostcalls are made, if it brought them. Returns how they were before.
    #[inline]
    pub(crate) fn enter_mode(&self, mode: Mode) -> Mode {
        let Some(foreign) = &self.instance.foreign else { return mode };
        let before = foreign.enter(mode);
        self.instance.set_stack_limits();
        before
    }

    /// Prepares calls of a function of the image.
    pub(crate) fn prepare(&self, function: usize, slow: PreparedCall, owner: *mut c_void) -> Prepared {
        Prepared::new(&self.instance, function, slow, owner)
    }

    /// The address of something that the image exports.
    pub(crate) fn address(&self, name: &str) -> Option<usize> {
        Some(self.instance.mapping.image().base().wrapping_add(self.exports.get(name)? as usize))
    }

    /// True if an address is within the image.
    #[inline]
    pub(crate) fn contains(&self, address: usize) -> bool {
        self.instance.span.contains(&address)
    }

    /// Makes a guarded call, from outside of any.
    ///
    /// # Safety
    ///
    /// The function takes at most five integers or pointers.
    #[inline(always)]
    pub(crate) unsafe fn call(&self, function: usize, arguments: [u64; 5]) -> Result<u64, Box<Failure>> {
        // SAFETY: the caller's promise.
        unsafe { self.instance.call(function, arguments) }
    }

    /// Makes a guarded call, also from within a hostcall.
    ///
    /// # Safety
    ///
    /// As [`call`](NativeVm::call).
    pub(crate) unsafe fn call_again(&self, function: usize, arguments: [u64; 5]) -> Result<u64, Box<Failure>> {
        let in_host = self.instance.in_host.replace(false);
        // SAFETY: the caller's promise.
        let returned = unsafe { self.instance.call(function, arguments) };
        self.instance.in_host.set(in_host);
        returned
    }

    /// The plugin's allocator; `None`: it frees with `free`.
    #[inline]
    pub(crate) fn allocator(&self) -> Option<usize> {
        self.instance.allocator
    }

    /// Memory that the plugin's `free` accepts, in a hostcall or outside of calls; 0 if there is none. Runs no code of the plugin.
    #[inline]
    pub(crate) fn allocate(&self, len: usize) -> u64 {
        heap::allocate(&self.instance, len) as u64
    }

    /// Runs the destructors of the plugin's variables: thread-local ones and those of thread-specific keys, then statics, each last registered
    /// first, then what the image has for its end.
    fn run_destructors(&self) -> Result<(), Box<Failure>> {
        let instance = &*self.instance;
        let _entered = current_instance::enter(instance);
        let _running = instance.state.slot().map(|slot| slot.enter_end());
        self.run_registered(&instance.thread_destructors)?;
        for (function, value) in keys::end(instance) {
            // SAFETY: the plugin registered this function for values of its key.
            unsafe { instance.call(function, [value, 0, 0, 0, 0])? };
        }
        self.run_registered(&instance.static_destructors)?;
        // SAFETY: a destructor of the image, which takes nothing.
        instance.mapping.image().finalize(&mut |function, arguments| unsafe { instance.call(function, arguments) })
    }

    fn run_registered(&self, list: &RefCell<Vec<Destructor>>) -> Result<(), Box<Failure>> {
        // One may register more.
        loop {
            let next = list.borrow_mut().pop();
            let Some(Destructor { function, arguments: [first, second] }) = next else { return Ok(()) };
            // SAFETY: the plugin registered this function for these arguments.
            unsafe { self.instance.call(function, [first, second, 0, 0, 0])? };
        }
    }
}

impl Drop for NativeVm {
    fn drop(&mut self) {
        // Only a raw VM can be dropped on another thread than its own, by an embedder in C or C++: thread-local variables are out of
        // reach there, so nothing of the plugin runs.
        let is_own = self.current_thread == std::thread::current().id();
        let instance = &*self.instance;
        instance.thread_context.end();
        self.enter_mode(Mode::ENDING);
        if is_own
            && !instance.state.has_failed()
            && let Err(failure) = self.run_destructors()
        {
            let text = format!("the plugin failed in a destructor: {failure}");
            instance.state.log(dynvm_abi::types::LogLevel::Error, text.as_bytes());
            instance.state.fail(failure);
        }
        // Of a failed VM no destructor runs, and no thread may run one later.
        keys::end(instance);
        if is_own && !instance.state.has_failed() {
            instance.mapping.set_ended_well();
        }
    }
}
