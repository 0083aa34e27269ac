//! A running instance of a native module.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use super::crash_cause::{Cause, Crash};
use super::custom_hostcalls::CustomHostcalls;
use super::destructors::Destructor;
use super::elf::Facts;
use super::environment::Environment;
use super::guard::{self, Frame};
use super::heap::Heap;
use super::image::Image;
use super::patch::{self, Edits};
use super::thread_context::ThreadContext;
use super::{NativeModule, constructors, current_instance, dependencies, heap, imports, process_exit, signals};
use crate::backend::{Code as _, NotStarted, Returned};
use crate::error::{Failure, FailureKind, StartError};
use crate::instance::InstanceState;
use crate::instance::budget::{NativeAccess, TERMINATED};
use dynvm_abi::table::CallbackId;

/// What a hostcall or a signal handler needs to know of the instance that runs on its thread.
pub(super) struct Instance {
    state: Rc<InstanceState>,
    /// The embedder's hostcalls; `None`: the loader's own.
    pub(super) foreign: Option<CustomHostcalls>,
    pub(super) frame: Frame,
    /// The addresses that the image takes.
    pub(super) span: Range<usize>,
    /// How the last guarded call ended, if it did not return.
    pub(super) crash: Cell<Option<Crash>>,
    /// More about the crash: the type of an exception.
    pub(super) detail: RefCell<Option<String>>,
    /// A fault whose stack is being walked.
    pub(super) walking: Cell<Option<Cause>>,
    /// A hostcall is under way: what is on the stack above the plugin's frames is the host's.
    pub(super) in_host: Cell<bool>,
    pub(super) environment: Environment,
    pub(super) thread_context: ThreadContext,
    pub(super) thread_destructors: RefCell<Vec<Destructor>>,
    pub(super) static_destructors: RefCell<Vec<Destructor>>,
    /// `None`: the image allocates from the C library.
    pub(super) heap: Option<Heap>,
    elf: Arc<Facts>,
    /// The plugin's allocator; `None`: it frees with `free`.
    pub(super) allocator: Option<usize>,
    guarded: bool,
}

impl Instance {
    pub(super) fn state(&self) -> &InstanceState {
        &self.state
    }

    /// Calls a function of the image, guarded.
    ///
    /// # Safety
    ///
    /// The function takes at most five integers or pointers.
    #[inline]
    pub(super) unsafe fn call(&self, function: usize, a: [u64; 5]) -> Result<u64, Box<Failure>> {
        if !self.guarded {
            // SAFETY: the caller's promise. Surplus arguments are in registers, which a C function may ignore.
            return Ok(unsafe {
                let function: unsafe extern "C" fn(u64, u64, u64, u64, u64) -> u64 = std::mem::transmute(function);
                function(a[0], a[1], a[2], a[3], a[4])
            });
        }
        // SAFETY: the caller's promise; the frame is part of self.
        let outcome = unsafe { guard::call(&self.frame, function, a[0], a[1], a[2], a[3], a[4]) };
        if outcome.crashed == 0 { Ok(outcome.value) } else { Err(self.crashed()) }
    }

    /// How the last guarded call ended.
    #[cold]
    fn crashed(&self) -> Box<Failure> {
        // A hostcall that the call was left from did not come to its end.
        self.in_host.set(false);
        let detail = self.detail.take();
        let Some(Crash { cause, backtrace }) = self.crash.take() else {
            return Failure::new(FailureKind::Host, "the plugin's call was left without a reason");
        };
        let (kind, message) = match (cause, self.state.failure()) {
            (Cause::Hostcall, Some(failure)) => (failure.kind, failure.message),
            (Cause::Fault { .. }, _) => (FailureKind::Trap, cause.describe()),
            (Cause::Overrun, _) if self.state.slot().is_some_and(|slot| slot.is_terminated()) => {
                (FailureKind::Limit, TERMINATED.to_owned())
            }
            (Cause::MemoryLimit | Cause::Overrun, _) => (FailureKind::Limit, cause.describe()),
            (cause, _) => (FailureKind::Exit, cause.describe()),
        };
        let detail = detail.map(|detail| format!(": {detail}")).unwrap_or_default();
        Failure::new(kind, format!("{message}{detail}{}", self.elf.functions.describe(backtrace.frames())))
    }
}

/// A native module that runs.
pub(crate) struct NativeVm {
    // Boxed: hostcalls find it by its address.
    instance: Box<Instance>,
    image: Option<Image>,
    start: Start,
    callbacks: Callbacks,
    module: Arc<Facts>,
    edits: Edits,
    current_thread: std::thread::ThreadId,
}

#[derive(Clone, Copy)]
struct Start {
    set_host: Option<usize>,
    initialize: Option<usize>,
    main: Option<usize>,
    start: Option<usize>,
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
        /// Addresses of the callbacks that the plugin exports and may have called.
        struct Callbacks { $($name: Option<usize>),* }

        impl Callbacks {
            fn find(address: impl Fn(&str) -> Option<usize>) -> Callbacks {
                Callbacks { $($name: address(stringify!($name))),* }
            }
        }

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
                Some(self.instance.heap.as_ref()?.used() as u64)
            }

            $(
                #[inline]
                fn $name(&mut self, $($param: dynvm_abi::__callback_type!($ty)),*) -> Returned {
                    let Some(function) = self.callbacks.$name else { return Ok(None) };
                    let _entered = current_instance::enter(&self.instance);
                    // SAFETY: the plugin exports this function, whose parameters are those of the ABI: integers, five at most.
                    let value = unsafe { self.instance.call(function, arguments([$($param as u64),*]))? };
                    Ok(Some(narrow!($ret, value)))
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
        let options = &module.options;
        imports::bind(&options.image_dir).map_err(failed)?;
        let guarded = options.contain_crashes && guard::AVAILABLE;
        if guarded {
            signals::install();
            signals::ensure_stack();
        }
        let elf = &module.elf;
        dependencies::open(&elf.needed);
        let marker = module.abi_version().marker();
        let marker = (marker, elf.exports[marker]);
        let bytes = match &foreign {
            Some(foreign) => patch::rename(&module.bytes, elf, &foreign.renames()).map_err(failed)?,
            None => Cow::Borrowed(&*module.bytes),
        };
        // SAFETY: an embedder that allows native plugins vouches for them (LoaderOptions::native). The span and the marker are those of
        // these bytes.
        let image = unsafe { Image::open(&bytes, &options.image_dir, options.keep_images, &elf.span, marker) };
        let image = image.map_err(failed)?;
        let address = |name: &str| elf.exports.get(name).map(|offset| image.address(*offset));
        if guarded && elf.needed.iter().any(|library| library.starts_with("libstdc++")) {
            process_exit::watch_terminate(image.library());
        }
        let callbacks = Callbacks::find(|name| state.config.capabilities.allows(name).then(|| address(name)).flatten());
        let start = Start {
            set_host: address(dynvm_abi::host::SET_HOST_SYMBOL),
            initialize: address("_initialize"),
            main: address("main").or_else(|| address("__main_void")),
            start: address("_start"),
        };
        let instance = Instance {
            foreign,
            frame: Frame::default(),
            span: image.span(),
            crash: Cell::new(None),
            detail: RefCell::default(),
            walking: Cell::new(None),
            in_host: Cell::new(false),
            environment: Environment::new(&state.config.environment),
            thread_context: ThreadContext::default(),
            thread_destructors: RefCell::default(),
            static_destructors: RefCell::default(),
            heap: module.edits.heap.then(|| Heap::new(state.config.memory_limit)).flatten(),
            elf: elf.clone(),
            allocator: address("proxy_on_memory_allocate").or_else(|| address("malloc")),
            guarded,
            state,
        };
        if let (true, Some(slot)) = (guarded, instance.state.slot()) {
            signals::install_interrupt();
            let facts = elf.clone();
            slot.set_native(NativeAccess {
                this_thread: signals::this_thread,
                interrupt: signals::interrupt,
                describe: Box::new(move |frames| facts.functions.describe(frames)),
            });
        }
        Ok(NativeVm {
            instance: Box::new(instance),
            image: Some(image),
            start,
            callbacks,
            module: elf.clone(),
            edits: module.edits,
            current_thread: std::thread::current().id(),
        })
    }

    /// Runs what has to run before anything else: constructors, and the function that takes the host's table.
    pub(crate) fn run_constructors(&self) -> Result<(), Box<Failure>> {
        let _entered = current_instance::enter(&self.instance);
        if let (true, Some(image)) = (self.edits.constructors, &self.image) {
            for function in constructors::at_open(&self.module.hooks, image.base()) {
                // SAFETY: a constructor of the image, with what constructors are passed.
                unsafe { self.instance.call(function, constructors::arguments())? };
            }
        }
        if let Some(set_host) = self.start.set_host {
            // SAFETY: the plugin exports this function, which takes the table; that lives for ever.
            unsafe { self.instance.call(set_host, [&raw const imports::HOST as u64, 0, 0, 0, 0])? };
        }
        Ok(())
    }

    fn run_start_functions(&self) -> Result<(), Box<Failure>> {
        let _entered = current_instance::enter(&self.instance);
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

    /// The embedder's hostcalls, if it brought them.
    pub(crate) fn foreign(&self) -> Option<&CustomHostcalls> {
        self.instance.foreign.as_ref()
    }

    /// The address of something that the image exports.
    pub(crate) fn address(&self, name: &str) -> Option<usize> {
        Some(self.image.as_ref()?.address(*self.module.exports.get(name)?))
    }

    /// Makes a guarded call, from outside of any.
    ///
    /// # Safety
    ///
    /// The function takes at most five integers or pointers.
    #[inline(always)]
    pub(crate) unsafe fn call(&self, function: usize, arguments: [u64; 5]) -> Result<u64, Box<Failure>> {
        let _entered = current_instance::enter(&self.instance);
        // SAFETY: the caller's promise.
        unsafe { self.instance.call(function, arguments) }
    }

    /// Makes a guarded call, also from within a hostcall.
    ///
    /// # Safety
    ///
    /// As [`call`](NativeVm::call).
    pub(crate) unsafe fn call_again(&self, function: usize, arguments: [u64; 5]) -> Result<u64, Box<Failure>> {
        let _entered = current_instance::enter(&self.instance);
        let in_host = self.instance.in_host.replace(false);
        // SAFETY: the caller's promise.
        let returned = unsafe { self.instance.call(function, arguments) };
        self.instance.in_host.set(in_host);
        returned
    }

    /// Memory from the plugin's allocator; 0 if there is none.
    pub(crate) fn allocate(&self, len: usize) -> Result<u64, Box<Failure>> {
        match self.instance.allocator {
            // SAFETY: the plugin exports this function, which takes a size.
            Some(function) => unsafe { self.call_again(function, [len as u64, 0, 0, 0, 0]) },
            None => {
                let _entered = current_instance::enter(&self.instance);
                let in_host = self.instance.in_host.replace(true);
                let address = heap::allocate(self.instance.heap.is_some(), len);
                self.instance.in_host.set(in_host);
                Ok(address as u64)
            }
        }
    }

    /// Runs the destructors of the plugin's variables: thread-local ones, then statics, each last registered first, then what the image
    /// has for its end.
    fn run_destructors(&self) -> Result<(), Box<Failure>> {
        let _entered = current_instance::enter(&self.instance);
        for list in [&self.instance.thread_destructors, &self.instance.static_destructors] {
            // One may register more.
            loop {
                let next = list.borrow_mut().pop();
                let Some(Destructor { function, object }) = next else { break };
                // SAFETY: the plugin registered this function for this object.
                unsafe { self.instance.call(function, [object, 0, 0, 0, 0])? };
            }
        }
        if let (true, Some(image)) = (self.edits.constructors, &self.image) {
            for function in constructors::at_close(&self.module.hooks, image.base()) {
                // SAFETY: a function of the image, which takes nothing.
                unsafe { self.instance.call(function, [0; 5])? };
            }
        }
        Ok(())
    }

    /// Whether nothing that lives on refers to the image, so that it can be unmapped.
    ///
    /// `failed`: its destructors were not run.
    fn can_close(&self, failed: bool) -> bool {
        let imports = &self.module.imports;
        let imports_none = |names: &[&str]| !names.iter().any(|name| imports.contains(*name));
        let thread_destructors =
            self.edits.thread_destructors || imports_none(&["__cxa_thread_atexit_impl", "__cxa_thread_atexit"]);
        // What closing an image runs, and must not run after a crash.
        let closing = !failed
            || self.edits.constructors && (self.edits.static_destructors || imports_none(&["__cxa_atexit", "atexit"]));
        thread_destructors && closing && imports_none(KEEP_REFERENCES)
    }
}

/// Functions by which a plugin leaves its addresses with others: threads, handlers of signals.
const KEEP_REFERENCES: &[&str] =
    &["pthread_create", "thrd_create", "sigaction", "signal", "pthread_atfork", "timer_create"];

impl Drop for NativeVm {
    fn drop(&mut self) {
        // Only a raw VM can be dropped on another thread than its own, by an embedder in C or C++: thread-local variables are out of
        // reach there, so nothing of the plugin runs.
        let is_own = self.current_thread == std::thread::current().id();
        self.instance.thread_context.end();
        if let Some(foreign) = &self.instance.foreign {
            foreign.end();
        }
        if is_own
            && !self.instance.state.has_failed()
            && let Err(failure) = self.run_destructors()
        {
            let text = format!("the plugin failed in a destructor: {failure}");
            self.instance.state.log(dynvm_abi::types::LogLevel::Error, text.as_bytes());
            self.instance.state.fail(failure);
        }
        let Some(image) = self.image.take() else { return };
        if self.can_close(!is_own || self.instance.state.has_failed()) {
            // With this VM current: destructors that are not the loader's to run may log.
            let _entered = current_instance::enter(&self.instance);
            drop(image);
        } else {
            image.leak();
            if let Some(heap) = self.instance.heap.take() {
                heap.leak();
            }
        }
    }
}
