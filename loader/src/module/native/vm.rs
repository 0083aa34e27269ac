//! A running instance of a native module.

use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::rc::Rc;

use dynvm_abi::table::CallbackId;
use dynvm_abi::types::Status;

use super::guard::{self, Crash, Frame};
use super::image::Image;
use super::thread_exit::Destructor;
use super::{NativeModule, current, heap, imports};
use crate::error::{Failure, FailureKind, StartError};
use crate::vm::{Addr, Backend, Guest, Returned, VmCell};

/// What a hostcall or a signal handler needs to know of the instance that runs on its thread.
pub(super) struct Instance {
    cell: Rc<VmCell>,
    pub(super) frame: Frame,
    /// The addresses that the image takes.
    pub(super) span: Range<usize>,
    /// The fault that ended the last guarded call, if one did.
    pub(super) crash: Cell<Option<Crash>>,
    pub(super) destructors: RefCell<Vec<Destructor>>,
    /// The plugin's allocator; `None`: it frees with `free`.
    allocator: Option<usize>,
    heap_edited: bool,
    guarded: bool,
}

impl Instance {
    pub(super) fn cell(&self) -> &VmCell {
        &self.cell
    }

    /// Calls a function of the image, guarded.
    ///
    /// # Safety
    ///
    /// The function takes at most five integers or pointers.
    #[inline]
    unsafe fn call(&self, function: usize, a: [u64; 5]) -> Result<u64, Box<Failure>> {
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
        match (self.crash.take(), self.cell.failure()) {
            (Some(crash), _) => Failure::new(FailureKind::Trap, crash.describe()),
            (None, Some(failure)) => Box::new(failure),
            (None, None) => Failure::new(
                FailureKind::Exit,
                "the plugin aborted, as a Rust panic does; its message was logged or went to standard error",
            ),
        }
    }
}

/// A native module that runs.
pub(crate) struct NativeVm {
    // Boxed: hostcalls find it by its address.
    instance: Box<Instance>,
    image: Option<Image>,
    start: Start,
    callbacks: Callbacks,
    /// No destructor of the plugin is left with anybody else, so the image can be closed.
    can_unload: bool,
    current_thread: std::thread::ThreadId,
}

#[derive(Clone, Copy)]
struct Start {
    initialize: Option<usize>,
    main: Option<usize>,
    start: Option<usize>,
}

macro_rules! widen {
    ($value:ident) => {
        $value as u64
    };
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

macro_rules! argument_type {
    (u32) => {
        u32
    };
    (bool) => {
        bool
    };
    (size) => {
        usize
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

        impl Backend for NativeVm {
            fn initialize(&mut self) -> Result<(), Box<Failure>> {
                self.run_start_functions()
            }

            fn exports(&self, callback: CallbackId) -> bool {
                match callback {
                    $(CallbackId::$name => self.callbacks.$name.is_some(),)*
                    _ => false,
                }
            }

            fn memory_size(&self) -> Option<u64> {
                None
            }

            $(
                #[inline]
                fn $name(&mut self, $($param: argument_type!($ty)),*) -> Returned {
                    let Some(function) = self.callbacks.$name else { return Ok(None) };
                    let _entered = current::enter(&self.instance);
                    // SAFETY: the plugin exports this function, whose parameters are those of the ABI: integers, five at most.
                    let value = unsafe { self.instance.call(function, arguments([$(widen!($param)),*]))? };
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
    pub(super) fn new(module: &NativeModule, cell: Rc<VmCell>) -> Result<NativeVm, StartError> {
        let failed = |message| StartError::Image { module: module.name.clone(), message };
        let options = &module.options;
        imports::bind(&options.image_dir).map_err(failed)?;
        let guarded = options.guard && guard::AVAILABLE;
        if guarded {
            guard::signals::install();
            guard::signals::ensure_stack();
        }
        let elf = &module.elf;
        let marker = module.abi_version().marker();
        let marker = (marker, elf.exports[marker]);
        // SAFETY: an embedder that allows native plugins vouches for them (LoaderOptions::native). The span and the marker are those of
        // these bytes.
        let image = unsafe { Image::open(&module.bytes, &options.image_dir, options.keep_images, &elf.span, marker) };
        let image = image.map_err(failed)?;
        let address = |name: &str| elf.exports.get(name).map(|offset| image.address(*offset));
        let callbacks = Callbacks::find(|name| cell.config.capabilities.allows(name).then(|| address(name)).flatten());
        let start = Start {
            initialize: address("_initialize"),
            main: address("main").or_else(|| address("__main_void")),
            start: address("_start"),
        };
        let instance = Instance {
            frame: Frame::default(),
            span: image.span(),
            crash: Cell::new(None),
            destructors: RefCell::default(),
            allocator: address("proxy_on_memory_allocate").or_else(|| address("malloc")),
            heap_edited: module.edits.heap,
            guarded,
            cell,
        };
        Ok(NativeVm {
            instance: Box::new(instance),
            image: Some(image),
            start,
            callbacks,
            can_unload: module.edits.thread_exit || !elf.imports.contains("__cxa_thread_atexit_impl"),
            current_thread: std::thread::current().id(),
        })
    }

    fn run_start_functions(&mut self) -> Result<(), Box<Failure>> {
        let _entered = current::enter(&self.instance);
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

    /// Runs the destructors of the plugin's thread-local variables, last registered first. Ones that register more are followed.
    fn run_destructors(&self) {
        let _entered = current::enter(&self.instance);
        loop {
            let next = self.instance.destructors.borrow_mut().pop();
            let Some(Destructor { function, object }) = next else { return };
            // SAFETY: the plugin registered this function for this object.
            if let Err(failure) = unsafe { self.instance.call(function, [object, 0, 0, 0, 0]) } {
                let text = format!("the plugin failed in the destructor of a thread-local variable: {failure}");
                self.instance.cell.log(dynvm_abi::types::LogLevel::Error, text.as_bytes());
                self.instance.cell.fail(failure);
                return;
            }
        }
    }
}

impl Drop for NativeVm {
    fn drop(&mut self) {
        debug_assert_eq!(self.current_thread, std::thread::current().id(), "a VM stays on its thread");
        let failed = self.instance.cell.has_failed();
        if !failed {
            self.run_destructors();
        }
        let Some(image) = self.image.take() else { return };
        if failed || self.instance.cell.has_failed() || !self.can_unload {
            // Something may still refer to it: state that the crash left behind, or a destructor that the C library runs at the
            // end of the thread.
            image.leak();
        }
        // Else it is closed, with this VM current: static destructors may log.
        else {
            let _entered = current::enter(&self.instance);
            drop(image);
        }
    }
}

/// The memory of a native plugin: the process's.
pub(super) struct NativeGuest<'a> {
    instance: &'a Instance,
}

impl<'a> NativeGuest<'a> {
    pub(super) fn new(instance: &'a Instance) -> NativeGuest<'a> {
        NativeGuest { instance }
    }
}

impl Guest for NativeGuest<'_> {
    const WIDE: bool = size_of::<usize>() == 8;

    #[inline]
    fn read(&self, addr: Addr, len: u64) -> Result<&[u8], Status> {
        if len == 0 {
            return Ok(&[]);
        }
        if addr.0 == 0 || len > isize::MAX as u64 {
            return Err(Status::InvalidMemoryAccess);
        }
        // SAFETY: a trusted plugin passes the address and length of memory of its own, which it does not change before the hostcall
        // returns.
        Ok(unsafe { std::slice::from_raw_parts(addr.0 as *const u8, len as usize) })
    }

    #[inline]
    fn slice_mut(&mut self, addr: Addr, len: usize) -> Result<&mut [u8], Status> {
        if addr.0 == 0 {
            return Err(Status::InvalidMemoryAccess);
        }
        // SAFETY: a trusted plugin passes the address of a place of this size, or it is what its allocator gave.
        Ok(unsafe { std::slice::from_raw_parts_mut(addr.0 as *mut u8, len) })
    }

    fn allocate(&mut self, len: usize) -> Result<Addr, Status> {
        let instance = self.instance;
        let address = match instance.allocator {
            // SAFETY: the plugin exports this function, which takes a size.
            Some(function) => unsafe { instance.call(function, [len as u64, 0, 0, 0, 0]) }.map_err(|failure| {
                instance.cell.fail(failure);
                Status::InternalFailure
            })?,
            None => heap::allocate(instance.heap_edited, len) as u64,
        };
        if address == 0 { Err(Status::InvalidMemoryAccess) } else { Ok(Addr(address)) }
    }
}
