//! Functions of libraries that may be abandoned in the middle, and the text of the libraries that matter to containment.
//!
//! To abandon a function is sound if it holds nothing then: no lock, no state of the process that is half changed. That is known of few
//! functions, so lists name those that may be abandoned, those of the C library in [`libc_functions`](super::libc_functions). They are used
//! in signal handlers: everything is looked up when a VM starts.

use std::ffi::{CStr, CString, c_int, c_void};
use std::ops::Range;
#[cfg(feature = "native")]
use std::sync::atomic::AtomicBool;
use std::sync::atomic::{AtomicUsize, Ordering};

#[cfg(feature = "native")]
use dynvm_image::Image;

use super::libc_functions::ABANDONABLE;
#[cfg(feature = "native")]
use super::module::runtimes;
use super::unwinder;

/// The allocator: inside of it, its lock may be held.
const ALLOCATOR: &[&str] =
    &["malloc", "calloc", "realloc", "free", "memalign", "aligned_alloc", "posix_memalign", "malloc_usable_size"];

/// Functions of the unwinder that call back: they hold nothing while a frame's personality routine, or their caller's function, runs. A
/// routine that the plugin brings may end the VM, as that of its own C++ library does where an exception leaves a `noexcept` function.
const UNWINDING: &[&str] = &[
    "_Unwind_RaiseException",
    "_Unwind_Resume",
    "_Unwind_Resume_or_Rethrow",
    "_Unwind_ForcedUnwind",
    "_Unwind_Backtrace",
];

/// Functions of the C++ runtime by which an exception is thrown, and which hold nothing while it looks for a handler.
const THROWING: &[&str] = &[
    "__cxa_throw",
    "__cxa_rethrow",
    "__cxa_call_unexpected",
    "__gxx_personality_v0",
    "_ZSt9terminatev",
    "_ZSt17rethrow_exceptionNSt15__exception_ptr13exception_ptrE",
    // They give the exception's memory back, should making it throw.
    "_ZSt17__throw_bad_allocv",
    "_ZSt16__throw_bad_castv",
    "_ZSt18__throw_bad_typeidv",
    "_ZSt19__throw_logic_errorPKc",
    "_ZSt20__throw_domain_errorPKc",
    "_ZSt24__throw_invalid_argumentPKc",
    "_ZSt20__throw_length_errorPKc",
    "_ZSt20__throw_out_of_rangePKc",
    "_ZSt24__throw_out_of_range_fmtPKcz",
    "_ZSt21__throw_runtime_errorPKc",
    "_ZSt19__throw_range_errorPKc",
    "_ZSt22__throw_overflow_errorPKc",
    "_ZSt23__throw_underflow_errorPKc",
    "_ZSt19__throw_ios_failurePKc",
    "_ZSt20__throw_system_errori",
    "_ZSt20__throw_future_errori",
    "_ZSt25__throw_bad_function_callv",
    "_ZSt28__throw_bad_array_new_lengthv",
];

/// Addresses, as chosen for this processor; 0 for a function that the process does not have.
struct Functions<const COUNT: usize>([AtomicUsize; COUNT]);

impl<const COUNT: usize> Functions<COUNT> {
    const fn new() -> Functions<COUNT> {
        Functions([const { AtomicUsize::new(0) }; COUNT])
    }

    fn find(&self, names: &[&str], library: *mut c_void) {
        for (name, address) in names.iter().zip(&self.0) {
            let name = CString::new(*name).unwrap_or_default();
            // SAFETY: the name ends with a null, and the handle is open.
            let found = unsafe { libc::dlsym(library, name.as_ptr()) } as usize;
            if found != 0 {
                address.store(found, Ordering::Relaxed);
            }
        }
    }

    #[cfg(feature = "native")]
    fn find_in(&self, names: &[&str], image: &Image) {
        for (name, address) in names.iter().zip(&self.0) {
            if let Some(found) = image.symbol(name) {
                address.store(found, Ordering::Relaxed);
            }
        }
    }

    fn contains(&self, function: usize) -> bool {
        function != 0 && self.0.iter().any(|known| known.load(Ordering::Relaxed) == function)
    }
}

static ABANDONABLE_AT: Functions<{ ABANDONABLE.len() }> = Functions::new();
static ALLOCATOR_AT: Functions<{ ALLOCATOR.len() }> = Functions::new();
static THROWING_AT: Functions<{ THROWING.len() }> = Functions::new();
/// Those of the private copy.
static THROWING_AT_RUNTIME: Functions<{ THROWING.len() }> = Functions::new();
static THREAD_EXIT_AT: Functions<1> = Functions::new();
/// Those of the private copy: images have no other.
static UNWINDING_AT: Functions<{ UNWINDING.len() }> = Functions::new();

/// Executable segments. Never emptied: a library that is unloaded leaves a range in which no code runs.
struct Text<const COUNT: usize>([[AtomicUsize; 2]; COUNT]);

impl<const COUNT: usize> Text<COUNT> {
    const fn new() -> Text<COUNT> {
        Text([const { [const { AtomicUsize::new(0) }; 2] }; COUNT])
    }

    fn add(&self, range: &Range<usize>) {
        for [start, end] in &self.0 {
            let known = start.load(Ordering::Relaxed);
            if known == range.start {
                return;
            }
            if known == 0 {
                end.store(range.end, Ordering::Relaxed);
                start.store(range.start, Ordering::Relaxed);
                return;
            }
        }
    }

    fn contains(&self, address: usize) -> bool {
        self.0.iter().any(|[start, end]| {
            let start = start.load(Ordering::Relaxed);
            start != 0 && (start..end.load(Ordering::Relaxed)).contains(&address)
        })
    }
}

static OWN_TEXT: Text<2> = Text::new();
static C_TEXT: Text<2> = Text::new();
static CPP_TEXT: Text<8> = Text::new();
/// Of the private libgcc_s.
static UNWINDER_TEXT: Text<1> = Text::new();

/// C++ runtimes and unwinders, by the names of their files.
const CPP_LIBRARIES: [&str; 5] = ["libstdc++.so", "libgcc_s.so", "libc++.so", "libc++abi.so", "libunwind.so"];

/// Looks up all of this, if libraries were loaded since the last time.
pub(super) fn refresh() {
    static LOADED: AtomicUsize = AtomicUsize::new(0);
    struct Search {
        loaded: usize,
        known: usize,
        cpp: Vec<CString>,
    }
    unsafe extern "C" fn visit(info: *mut libc::dl_phdr_info, _: usize, search: *mut c_void) -> c_int {
        // SAFETY: the system passes a loaded object, and what it was given.
        let (info, search) = unsafe { (&*info, &mut *search.cast::<Search>()) };
        search.loaded = info.dlpi_adds as usize;
        if search.loaded == search.known {
            return 1;
        }
        // SAFETY: the object's path, which is a string or null, and its program headers.
        let (name, headers) = unsafe {
            let name = if info.dlpi_name.is_null() { c"" } else { CStr::from_ptr(info.dlpi_name) };
            (name, std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)))
        };
        let file = name.to_str().unwrap_or_default().rsplit('/').next().unwrap_or_default();
        let cpp = CPP_LIBRARIES.iter().any(|library| file.starts_with(library));
        if cpp {
            search.cpp.push(name.to_owned());
        }
        for header in headers.iter().filter(|h| h.p_type == libc::PT_LOAD && h.p_flags & libc::PF_X != 0) {
            let start = info.dlpi_addr as usize + header.p_vaddr as usize;
            let range = start..start + header.p_memsz as usize;
            if range.contains(&(refresh as *const () as usize)) {
                OWN_TEXT.add(&range);
            }
            if range.contains(&(libc::qsort as *const () as usize))
                || range.contains(&ABANDONABLE_AT.0[0].load(Ordering::Relaxed))
            {
                C_TEXT.add(&range);
            }
            if cpp {
                CPP_TEXT.add(&range);
            }
        }
        0
    }
    let known = LOADED.load(Ordering::Relaxed);
    if known == 0 {
        ABANDONABLE_AT.find(ABANDONABLE, libc::RTLD_DEFAULT);
        ALLOCATOR_AT.find(ALLOCATOR, libc::RTLD_DEFAULT);
        THREAD_EXIT_AT.find(&["pthread_exit"], libc::RTLD_DEFAULT);
    }
    let mut search = Search { loaded: 0, known, cpp: Vec::new() };
    // SAFETY: the search outlives the call.
    unsafe { libc::dl_iterate_phdr(Some(visit), (&raw mut search).cast()) };
    for library in &search.cpp {
        // SAFETY: it is loaded; this only finds it.
        let handle = unsafe { libc::dlopen(library.as_ptr(), libc::RTLD_NOLOAD | libc::RTLD_LAZY) };
        if !handle.is_null() {
            THROWING_AT.find(THROWING, handle);
            // SAFETY: opened above. The library stays, as others refer to it.
            unsafe { libc::dlclose(handle) };
        }
    }
    LOADED.store(search.loaded, Ordering::Relaxed);
    #[cfg(feature = "native")]
    add_runtimes();
}

/// The private copies that images use, which the system does not list: each once, as it stays where it is.
#[cfg(feature = "native")]
fn add_runtimes() {
    static KNOWN: [AtomicBool; 2] = [const { AtomicBool::new(false) }; 2];
    for (known, library) in KNOWN.iter().zip(["libgcc_s.so.1", "libstdc++.so.6"]) {
        if known.load(Ordering::Relaxed) {
            continue;
        }
        let Some(image) = runtimes().image(library) else { continue };
        if library == "libgcc_s.so.1" {
            UNWINDER_TEXT.add(&image.span());
            UNWINDING_AT.find_in(UNWINDING, image);
        }
        CPP_TEXT.add(&image.span());
        THROWING_AT_RUNTIME.find_in(THROWING, image);
        known.store(true, Ordering::Relaxed);
    }
}

/// The beginning of the function that has an instruction; 0: it is in none that is known. An address behind a call counts to the function
/// that called.
pub(super) fn function_of(instruction: usize) -> usize {
    unwinder::function_of(instruction)
}

/// Whether a function may be abandoned, wherever it is.
pub(super) fn is_abandonable(function: usize) -> bool {
    ABANDONABLE_AT.contains(function) || UNWINDING_AT.contains(function)
}

/// Whether a function is the C library's allocator.
pub(super) fn is_allocator(function: usize) -> bool {
    ALLOCATOR_AT.contains(function)
}

/// Whether a function is `pthread_exit`.
pub(super) fn is_thread_exit(function: usize) -> bool {
    THREAD_EXIT_AT.contains(function)
}

/// Whether a frame may be abandoned for an exception that would pass it: `lsda` tells what the frame does when one does.
pub(super) fn may_throw(address: usize, lsda: usize) -> bool {
    // Without such data nothing runs in the frame, so it holds nothing that it would give back.
    CPP_TEXT.contains(address) && (lsda == 0 || throws(function_of(address)))
}

fn throws(function: usize) -> bool {
    THROWING_AT.contains(function) || THROWING_AT_RUNTIME.contains(function)
}

/// Whether code is that of the loader, or of the program that it is linked into.
pub(super) fn is_own(address: usize) -> bool {
    OWN_TEXT.contains(address)
}

/// Whether code is that of the unwinder which images use.
pub(super) fn is_unwinder(address: usize) -> bool {
    UNWINDER_TEXT.contains(address)
}

/// Whether code is the C library's.
pub(super) fn is_c(address: usize) -> bool {
    C_TEXT.contains(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_and_their_libraries() {
        #[cfg(feature = "native")]
        unwinder::prepare().unwrap();
        refresh();
        assert!(is_own(functions_and_their_libraries as *const () as usize));
        let qsort = libc::qsort as *const () as usize;
        assert!(is_c(qsort) && !is_own(qsort));
        assert!(is_abandonable(function_of(qsort + 1)) && function_of(8) == 0);
        assert!(
            !is_abandonable(libc::printf as *const () as usize) && is_allocator(libc::malloc as *const () as usize)
        );
    }
}
