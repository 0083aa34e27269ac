//! C++ exceptions that a plugin does not catch.
//!
//! The unwinder, in search of a handler, asks each frame's personality routine. That of a guarded call ends the search: the
//! frames up to there are abandoned as in any crash, and the search never reaches a frame of the host. The C++ library counts exceptions under
//! way on the thread: [`Exceptions`] puts its counts back.

use std::ffi::{CStr, c_char, c_int, c_void};

use super::containment::From;
use super::crash_cause::Cause;
use super::{current_instance, process_exit};

/// The personality routine of guarded calls.
///
/// # Safety
///
/// Called by the unwinder.
pub(super) unsafe extern "C" fn personality(
    _version: c_int,
    actions: c_int,
    class: u64,
    exception: *mut c_void,
    _context: *mut c_void,
) -> c_int {
    const SEARCH_PHASE: c_int = 1;
    const FORCED: c_int = 8;
    const CONTINUE_UNWIND: c_int = 8;
    // SAFETY: an instance lives for as long as it is current on this thread.
    let Some(instance) = (unsafe { current_instance::get().as_ref() }) else { return CONTINUE_UNWIND };
    if actions & FORCED != 0 {
        // The frames of the plugin have been unwound, as `pthread_exit` says. A thread that others cancelled goes on to its end.
        // SAFETY: between the guarded call and here are the plugin's frames, the unwinder's and those of `pthread_exit`.
        unsafe { process_exit::leave_from(instance, Cause::ThreadExit, From::ForcedUnwind) }
    } else if actions & SEARCH_PHASE != 0 {
        // SAFETY: the unwinder passes the exception of this class.
        let detail = unsafe { type_name(class, exception) };
        *instance.detail.borrow_mut() = detail;
        // SAFETY: between the guarded call, whose frame was reached, and here are the plugin's frames and those through which the
        // exception went; the unwinder holds no lock while it asks.
        unsafe { process_exit::leave_from(instance, Cause::Exception, From::Throw) }
        // It would unwind the host.
        process_exit::abort_process()
    }
    CONTINUE_UNWIND
}

/// The exceptions of this thread that the C++ library of the process knows of: those caught, and how many are not.
#[derive(Clone, Copy)]
pub(super) struct Exceptions {
    globals: unsafe extern "C" fn() -> *mut [usize; 2],
    of_thread: *mut [usize; 2],
}

impl Exceptions {
    /// Those of this thread. `globals` is the library's `__cxa_get_globals`.
    ///
    /// # Safety
    ///
    /// The address is of this function, which stays mapped.
    pub(super) unsafe fn of_this_thread(globals: usize) -> Exceptions {
        // SAFETY: the caller's promise; the function's type is that of the C++ ABI. The count is 32 bits, behind which are 32 of padding.
        let globals: unsafe extern "C" fn() -> *mut [usize; 2] = unsafe { std::mem::transmute(globals) };
        // SAFETY: as above.
        Exceptions { globals, of_thread: unsafe { globals() } }
    }

    /// Those of this thread, which is another one.
    pub(super) fn on_this_thread(self) -> Exceptions {
        // SAFETY: the promise of `of_this_thread`.
        Exceptions { of_thread: unsafe { (self.globals)() }, ..self }
    }

    /// As they are now.
    pub(super) fn save(self) -> [usize; 2] {
        // SAFETY: the thread's own, for as long as it lives.
        unsafe { self.of_thread.read() }
    }

    /// As they were.
    pub(super) fn restore(self, saved: [usize; 2]) {
        // SAFETY: as above.
        unsafe { self.of_thread.write(saved) }
    }
}

/// The type of a C++ exception, demangled where the loader has the code for it.
///
/// # Safety
///
/// `exception` is an exception of the class.
unsafe fn type_name(class: u64, exception: *mut c_void) -> Option<String> {
    // "GNUCC++\0", and the same for a rethrown one, which points to another.
    const GNU_CPP: u64 = 0x474e_5543_432b_2b00;
    // From the first member of `__cxa_exception`, the type, to its last, which is what the unwinder knows (Itanium C++ ABI, 64 bits).
    const TYPE_BEFORE: usize = 80;
    if class != GNU_CPP {
        return None;
    }
    // SAFETY: the layout is the ABI's. A type_info has a virtual table and then its name.
    let name = unsafe {
        let info = exception.byte_sub(TYPE_BEFORE).cast::<*const [*const c_char; 2]>().read();
        CStr::from_ptr((*info)[1])
    };
    // A * at the front marks a name that is compared by address.
    let name = name.to_string_lossy().trim_start_matches('*').to_owned();
    #[cfg(feature = "native")]
    let name = {
        let mangled = format!("_ZTS{name}");
        let symbol =
            cpp_demangle::BorrowedSymbol::new(mangled.as_bytes()).ok().and_then(|symbol| symbol.demangle().ok());
        symbol.map_or(name, |text| text.trim_start_matches("typeinfo name for ").to_owned())
    };
    Some(name)
}
