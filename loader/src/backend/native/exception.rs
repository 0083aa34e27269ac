//! C++ exceptions that a plugin does not catch.
//!
//! The unwinder, in search of a handler, asks each frame's personality routine. That of a guarded call ends the search: what is on the
//! stack up to there is abandoned as in any crash, before a frame of the host's is asked or unwound.

use std::ffi::{CStr, c_char, c_int, c_void};

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
    const CONTINUE_UNWIND: c_int = 8;
    // A forced unwinding (pthread_exit) cannot be stopped.
    if actions & SEARCH_PHASE == 0 {
        return CONTINUE_UNWIND;
    }
    // SAFETY: an instance lives for as long as it is current on this thread.
    if let Some(instance) = unsafe { current_instance::get().as_ref() }
        && instance.frame.is_entered()
    {
        // SAFETY: the unwinder passes the exception of this class.
        *instance.detail.borrow_mut() = unsafe { type_name(class, exception) };
        // SAFETY: between the guarded call, whose frame was reached, and here are the plugin's frames and the unwinder's, which holds
        // no lock while it asks.
        unsafe { process_exit::leave(instance, Cause::Exception) }
    }
    CONTINUE_UNWIND
}

/// The type of a C++ exception, demangled.
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
    let mangled = format!("_ZTS{name}");
    let symbol = cpp_demangle::BorrowedSymbol::new(mangled.as_bytes()).ok().and_then(|symbol| symbol.demangle().ok());
    Some(symbol.map_or(name, |text| text.trim_start_matches("typeinfo name for ").to_owned()))
}
