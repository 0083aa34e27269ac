//! Plugins that are part of the program: what the build of a program says of them, and the names that both sides agree on.
//!
//! The crate `dynvm-link` joins a plugin to one object and writes a [`Linked`] for it; the loader runs it as it runs a file. The
//! plugin's own names are local to the object, except for its exports, whose names begin with a prefix of the plugin. The functions
//! that it takes from the host are undefined, and the loader defines them once for all plugins:
//!
//! | in the plugin's source | in the object |
//! |---|---|
//! | a hostcall | [`HOSTCALL_PREFIX`] and its name |
//! | a function of [`LIBC`] | [`LIBC_PREFIX`] and its name |

use std::fmt;

pub use crate::descriptor::StateModel;
pub use crate::version::AbiVersion;

/// What the names of hostcalls begin with in an object.
pub const HOSTCALL_PREFIX: &str = "dynvm_hc_";

/// What the names of [`LIBC`] begin with in an object.
pub const LIBC_PREFIX: &str = "dynvm_libc_";

/// Functions of the C and C++ libraries that act on behalf of a VM or on the whole program, and the one of WASI that the C++ SDK calls
/// also natively. A plugin that defines one itself keeps its own.
pub const LIBC: &[&str] = &[
    // Destructors, thread-specific keys, threads, and others whose effects end with the VM.
    "__cxa_thread_atexit_impl",
    "__cxa_thread_atexit",
    "__cxa_atexit",
    "__cxa_at_quick_exit",
    "atexit",
    "on_exit",
    "pthread_key_create",
    "__pthread_key_create",
    "pthread_key_delete",
    "pthread_getspecific",
    "pthread_setspecific",
    "tss_create",
    "tss_delete",
    "tss_get",
    "tss_set",
    "pthread_create",
    "thrd_create",
    "pthread_sigmask",
    "sigprocmask",
    "sigaltstack",
    "sigaction",
    "signal",
    "putenv",
    "uselocale",
    "__uselocale",
    "vfork",
    // The end of the process or the thread.
    "abort",
    "exit",
    "_exit",
    "_Exit",
    "quick_exit",
    "pthread_exit",
    "thrd_exit",
    "__assert_fail",
    "__stack_chk_fail",
    // Output, time, randomness, environment.
    "write",
    "writev",
    "clock_gettime",
    "gettimeofday",
    "time",
    "_ZNSt6chrono3_V212system_clock3nowEv",
    "_ZNSt6chrono3_V212steady_clock3nowEv",
    "getrandom",
    "getentropy",
    "syscall",
    "dlsym",
    "_Z17__wasi_random_getPhm",
    "getenv",
    "secure_getenv",
    // Allocation.
    "malloc",
    "calloc",
    "realloc",
    "reallocarray",
    "free",
    "cfree",
    "posix_memalign",
    "aligned_alloc",
    "memalign",
    "valloc",
    "pvalloc",
    "malloc_usable_size",
    "getline",
    "getdelim",
    "__getdelim",
];

/// A plugin that is part of this program.
///
/// `dynvm-link` writes it; a program has it from there as `PLUGIN` and changes nothing.
#[repr(C)]
#[derive(Debug)]
pub struct Linked {
    /// The name under which the loader knows it.
    pub name: &'static str,
    /// The SHA-256 of the object before its symbols were renamed.
    pub digest: [u8; 32],
    /// The size of that object.
    pub size: usize,
    /// The version of the ABI that it was built for.
    pub abi_version: AbiVersion,
    /// Where it keeps its state.
    pub state_model: StateModel,
    /// The names that it leaves undefined: hostcalls, and functions of the system's libraries.
    pub imports: &'static [&'static str],
    /// Its copies: one, or as many VMs as may run at a time if it keeps state in statics.
    pub slots: &'static [Slot],
}

/// One copy of a plugin: code, statics and thread-local variables.
#[repr(C)]
#[derive(Debug)]
pub struct Slot {
    /// Its code.
    pub text: Text,
    /// What it exports: callbacks, entry points, its descriptor.
    pub exports: &'static [Export],
    /// Its thread-local variables; `None` without any.
    pub thread_locals: Option<ThreadLocals>,
    /// Its statics: variables that have an initial value, and those that begin as zeros. Empty for [`StateModel::PerThread`], where VMs
    /// share them.
    pub statics: &'static [Variables],
    /// Constructors, to be called in this order as the C library calls them, before anything else of the plugin.
    pub constructors: Functions,
    /// Destructors, to be called from last to first.
    pub destructors: Functions,
}

impl Slot {
    /// The address of an export.
    pub fn export(&self, name: &str) -> Option<*const u8> {
        self.exports.iter().find(|export| export.name == name).map(|export| export.address)
    }
}

/// A range of code, which the program's linker keeps together.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Text {
    /// Where it begins.
    pub start: *const u8,
    /// Where it ends.
    pub stop: *const u8,
}

/// An exported function or object.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Export {
    /// Its name in the plugin's source.
    pub name: &'static str,
    /// Where it is.
    pub address: *const u8,
}

/// The thread-local variables of a plugin: one block in each thread.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ThreadLocals {
    /// The calling thread's block. It stays where it is while the thread lives.
    pub block: extern "C" fn() -> *mut u8,
    /// What a block holds in a new thread.
    pub initial: *const u8,
    /// The size of a block.
    pub size: usize,
}

impl fmt::Debug for ThreadLocals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadLocals").field("initial", &self.initial).field("size", &self.size).finish_non_exhaustive()
    }
}

/// Consecutive variables.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Variables {
    /// Where they are.
    pub block: *const u8,
    /// What they hold when the program starts; null for zeros.
    pub initial: *const u8,
    /// Their size.
    pub size: usize,
}

/// An array of addresses of functions.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Functions {
    /// The first element; dangling if there are none.
    pub first: *const u8,
    /// The number of elements.
    pub count: usize,
}

macro_rules! addresses_only {
    ($($ty:ident)*) => {
        $(
            // SAFETY: addresses that are never written; to follow one is unsafe by itself.
            unsafe impl Sync for $ty {}
            // SAFETY: as for `Sync`; it owns nothing.
            unsafe impl Send for $ty {}
        )*
    };
}

addresses_only! { Text Export ThreadLocals Variables Functions }

/// A function that returns the calling thread's block of a plugin, whose symbol is given as a literal.
///
/// It asks for the address in the most general way, which is right also in a shared object. In a program the linker replaces it by an
/// offset from the thread pointer.
#[macro_export]
#[doc(hidden)]
macro_rules! __thread_local_block {
    ($symbol:literal) => {{
        extern "C" fn block() -> *mut u8 {
            let address: *mut u8;
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the sequence of the psABI for a thread-local variable, which calls a C function.
            unsafe {
                ::core::arch::asm!(
                    concat!("data16 leaq ", $symbol, "@TLSGD(%rip), %rdi"),
                    "data16 data16 rex64 callq __tls_get_addr@PLT",
                    out("rax") address,
                    clobber_abi("C"),
                    options(att_syntax),
                );
            }
            #[cfg(target_arch = "aarch64")]
            // SAFETY: as above; the descriptor's function keeps all registers but these.
            unsafe {
                ::core::arch::asm!(
                    concat!("adrp x0, :tlsdesc:", $symbol),
                    concat!("ldr x1, [x0, :tlsdesc_lo12:", $symbol, "]"),
                    concat!("add x0, x0, :tlsdesc_lo12:", $symbol),
                    concat!(".tlsdesccall ", $symbol),
                    "blr x1",
                    "mrs x1, tpidr_el0",
                    "add x0, x1, x0",
                    out("x0") address,
                    clobber_abi("C"),
                );
            }
            address
        }
        block
    }};
}
