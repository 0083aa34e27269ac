//! A running instance of a linked plugin.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Mutex;

use dynvm_abi::linked::{Functions, Linked, Slot};
use dynvm_abi::table::{CALLBACKS, CallbackId};

use super::slots::Lease;
use super::variables::{self, PrivateThreadLocals};
use super::{current, hostcalls, libc};
use crate::backend::{Instance, NotStarted, Returned};
use crate::error::{Failure, StartError};
use crate::instance::InstanceState;

/// A function to be called at the end, and its argument.
#[derive(Clone, Copy)]
pub(super) struct Destructor {
    pub(super) function: usize,
    pub(super) object: usize,
}

/// What hostcalls need of the instance that runs on their thread.
pub(super) struct Running {
    pub(super) state: Rc<InstanceState>,
    pub(super) thread_locals: PrivateThreadLocals,
    /// The plugin started a thread, which may still run.
    pub(super) has_threads: Cell<bool>,
    lease: Lease,
    thread_destructors: RefCell<Vec<Destructor>>,
    static_destructors: RefCell<Vec<Destructor>>,
    /// The plugin's allocator; `None`: it frees with `free`.
    allocator: Option<usize>,
}

impl Running {
    /// Calls a function of the plugin, which is current.
    ///
    /// # Safety
    ///
    /// The function takes at most five integers or pointers.
    #[inline]
    unsafe fn call<const COUNT: usize>(&self, function: usize, arguments: [u64; COUNT]) -> u64 {
        let mut all = [0; 5];
        all[..COUNT].copy_from_slice(&arguments);
        let [a, b, c, d, e] = all;
        // SAFETY: the caller's promise. Surplus arguments are in registers, which a C function may ignore.
        unsafe { call_or_abort(function, a, b, c, d, e) }
    }

    /// Memory from the plugin's allocator.
    pub(super) fn allocate(&self, len: usize) -> u64 {
        match self.allocator {
            // SAFETY: the plugin exports this function, which takes a size.
            Some(allocator) => unsafe { self.call(allocator, [len as u64]) },
            None => libc::allocate(len),
        }
    }

    /// Keeps a destructor of a static variable. Statics that all VMs share are never destroyed.
    pub(super) fn at_exit(&self, destructor: Destructor) {
        if self.lease.is_exclusive {
            self.static_destructors.borrow_mut().push(destructor);
        }
    }

    /// Keeps a destructor of a thread-local variable.
    pub(super) fn at_thread_exit(&self, destructor: Destructor) {
        self.thread_destructors.borrow_mut().push(destructor);
    }

    /// Runs destructors, each last registered first.
    fn run_destructors(&self) {
        let _entered = current::enter(self);
        for list in [&self.thread_destructors, &self.static_destructors] {
            // One may register more.
            loop {
                let next = list.borrow_mut().pop();
                let Some(Destructor { function, object }) = next else { break };
                // SAFETY: the plugin registered this function for this object.
                unsafe { self.call(function, [object as u64]) };
            }
        }
        if self.lease.is_exclusive {
            for function in addresses(self.lease.slot().destructors).rev() {
                // SAFETY: a destructor of the plugin, which takes nothing.
                unsafe { self.call(function, []) };
            }
        }
    }
}

/// Calls a function. An exception that leaves it ends the program here, with a message, and not in a frame that knows nothing of it.
///
/// # Safety
///
/// The function takes at most five integers or pointers.
#[inline]
unsafe extern "C" fn call_or_abort(function: usize, a: u64, b: u64, c: u64, d: u64, e: u64) -> u64 {
    type Function = unsafe extern "C-unwind" fn(u64, u64, u64, u64, u64) -> u64;
    // SAFETY: the caller's promise.
    unsafe { std::mem::transmute::<usize, Function>(function)(a, b, c, d, e) }
}

/// The addresses in a list of functions.
fn addresses(list: Functions) -> impl DoubleEndedIterator<Item = usize> {
    // SAFETY: the descriptor's list, a constant.
    (0..list.count).map(move |index| unsafe { *list.first.cast::<usize>().add(index) })
}

/// A linked plugin that runs.
pub(super) struct NullVm {
    // Boxed: hostcalls find it by its address.
    running: Box<Running>,
    callbacks: [Option<usize>; CALLBACKS.len()],
}

impl NullVm {
    pub(super) fn new(plugin: &'static Linked, state: Rc<InstanceState>) -> Result<NullVm, StartError> {
        let lease =
            Lease::take(plugin).map_err(|message| StartError::Image { module: plugin.name.to_owned(), message })?;
        let slot = lease.slot();
        if lease.is_exclusive {
            // SAFETY: the slot is free, and slots of plugins with threads are not given back.
            unsafe { variables::reset_statics(slot) };
        }
        let callbacks = CallbackId::ALL.iter().map(|callback| {
            let name = callback.describe().name;
            state.config.capabilities.allows(name).then(|| address(slot, name)).flatten()
        });
        let callbacks = callbacks.collect::<Vec<_>>().try_into().expect("one for each");
        let running = Running {
            thread_locals: PrivateThreadLocals::new(slot),
            has_threads: Cell::new(false),
            thread_destructors: RefCell::default(),
            static_destructors: RefCell::default(),
            allocator: address(slot, "proxy_on_memory_allocate").or_else(|| address(slot, "malloc")),
            lease,
            state,
        };
        Ok(NullVm { running: Box::new(running), callbacks })
    }

    fn run_constructors(&self) {
        /// Shared slots whose constructors have run.
        static CONSTRUCTED: Mutex<Vec<usize>> = Mutex::new(Vec::new());

        let running = &self.running;
        let slot = running.lease.slot();
        let run = || {
            for function in addresses(slot.constructors) {
                let no_arguments = [std::ptr::null::<u8>()];
                // SAFETY: a constructor, with the number and list of arguments and the environment, which are empty.
                unsafe { running.call(function, [0, no_arguments.as_ptr() as u64, no_arguments.as_ptr() as u64]) };
            }
        };
        if running.lease.is_exclusive {
            return run();
        }
        // Held meanwhile: another VM must not run before they have.
        let mut constructed = CONSTRUCTED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let address = std::ptr::from_ref(slot) as usize;
        if !constructed.contains(&address) {
            run();
            constructed.push(address);
        }
    }

    fn run_start_functions(&self) {
        let running = &self.running;
        let slot = running.lease.slot();
        if let Some(set_host) = address(slot, dynvm_abi::host::SET_HOST_SYMBOL) {
            // SAFETY: the plugin exports this function, which takes the table; that lives for ever.
            unsafe { running.call(set_host, [&raw const hostcalls::HOST as u64]) };
        }
        let functions = match address(slot, "_initialize") {
            Some(initialize) => [Some(initialize), address(slot, "main").or_else(|| address(slot, "__main_void"))],
            None => [address(slot, "_start"), None],
        };
        for function in functions.into_iter().flatten() {
            // SAFETY: the plugin exports this function, which takes nothing, or argc and argv: 0 and null.
            unsafe { running.call(function, []) };
        }
    }

    /// The failure of the VM, in a hostcall: the plugin goes on until it returns.
    #[inline]
    fn failure(&self) -> Option<Box<Failure>> {
        let state = &self.running.state;
        if state.has_failed() { state.failure().map(Box::new) } else { None }
    }

    #[inline]
    fn call<const COUNT: usize>(&self, callback: CallbackId, arguments: [u64; COUNT]) -> Option<u64> {
        let function = self.callbacks[callback as usize]?;
        let _entered = current::enter(&self.running);
        // SAFETY: the plugin exports this function, whose parameters are those of the ABI: integers, five at most.
        Some(unsafe { self.running.call(function, arguments) })
    }
}

fn address(slot: &Slot, name: &str) -> Option<usize> {
    slot.export(name).map(|address| address as usize)
}

impl Drop for NullVm {
    fn drop(&mut self) {
        if !self.running.state.has_failed() {
            self.running.run_destructors();
        }
        if self.running.has_threads.get() {
            // Its threads may still use the statics.
            self.running.lease.is_exclusive = false;
        }
    }
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

macro_rules! callbacks {
    ($($name:ident($($param:ident: $ty:ident),*) -> $ret:ident $versions:ident;)*) => {
        impl Instance for NullVm {
            fn initialize(&mut self) -> Result<(), NotStarted> {
                let _entered = current::enter(&self.running);
                self.run_constructors();
                self.run_start_functions();
                self.failure().map_or(Ok(()), |failure| Err(failure.into()))
            }

            fn exports(&self, callback: CallbackId) -> bool {
                self.callbacks[callback as usize].is_some()
            }

            fn memory_size(&self) -> Option<u64> {
                // All plugins and the program have one heap.
                None
            }

            $(
                #[inline]
                fn $name(&mut self, $($param: dynvm_abi::__callback_type!($ty)),*) -> Returned {
                    let returned = self.call(CallbackId::$name, [$($param as u64),*]);
                    self.failure().map_or(Ok(returned.map(|value| narrow!($ret, value))), Err)
                }
            )*
        }
    };
}

dynvm_abi::callbacks!(callbacks);
