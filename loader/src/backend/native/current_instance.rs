//! Which VM runs on this thread: what a hostcall, an allocation or a crash belongs to.

use super::vm::Instance;

pub(super) use place::get;
use place::set;

/// Makes an instance the running one until the guard is dropped.
#[inline]
pub(super) fn enter(instance: &Instance) -> Entered<'_> {
    let previous = get();
    set(instance);
    Entered { previous, _instance: instance }
}

/// Notes that none runs.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub(super) fn clear() {
    set(std::ptr::null());
}

/// Puts the previous instance back when dropped.
pub(super) struct Entered<'a> {
    previous: *const Instance,
    _instance: &'a Instance,
}

impl Entered<'_> {
    /// Whether another call, of this instance or of another, is under way.
    pub(super) fn is_nested(&self) -> bool {
        !self.previous.is_null()
    }
}

impl Drop for Entered<'_> {
    #[inline]
    fn drop(&mut self) {
        set(self.previous);
    }
}

/// The thread-local variable. Without a destructor, so that reading it is safe in a signal handler.
#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
mod place {
    use std::cell::Cell;

    use super::Instance;

    thread_local! {
        static CURRENT: Cell<*const Instance> = const { Cell::new(std::ptr::null()) };
    }

    /// The running instance, or null.
    #[inline]
    pub(in super::super) fn get() -> *const Instance {
        CURRENT.get()
    }

    #[inline]
    pub(super) fn set(instance: *const Instance) {
        CURRENT.set(instance);
    }
}

/// The thread-local variable, which entries of hostcalls and prepared calls use by its name, in assembly. In a library that is opened at run
/// time it takes 8 bytes of the room that the C library keeps for such (the initial-exec model).
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod place {
    use std::arch::{asm, global_asm};

    use super::Instance;

    /// Loads the variable's place, relative to fs, into a register. The version keeps copies of the loader in one program apart.
    macro_rules! current_instance {
        ($register:literal) => {
            concat!(
                "mov ",
                $register,
                ", qword ptr [rip + dynvm_current_instance_",
                env!("CARGO_PKG_VERSION"),
                "@GOTTPOFF]"
            )
        };
    }
    pub(in super::super) use current_instance;

    global_asm!(
        ".pushsection .tbss, \"awT\", @nobits",
        ".balign 8",
        concat!(".hidden dynvm_current_instance_", env!("CARGO_PKG_VERSION")),
        concat!(".globl dynvm_current_instance_", env!("CARGO_PKG_VERSION")),
        concat!(".type dynvm_current_instance_", env!("CARGO_PKG_VERSION"), ", @object"),
        concat!(".size dynvm_current_instance_", env!("CARGO_PKG_VERSION"), ", 8"),
        concat!("dynvm_current_instance_", env!("CARGO_PKG_VERSION"), ":"),
        ".zero 8",
        ".popsection"
    );

    /// The running instance, or null.
    #[inline]
    pub(in super::super) fn get() -> *const Instance {
        let instance: *const Instance;
        // SAFETY: reads the variable of this thread.
        unsafe {
            asm!(
                current_instance!("{0}"), "mov {0}, fs:[{0}]", out(reg) instance,
                options(nostack, readonly, preserves_flags)
            );
        }
        instance
    }

    #[inline]
    pub(super) fn set(instance: *const Instance) {
        // SAFETY: writes the variable of this thread.
        unsafe {
            asm!(
                current_instance!("{0}"), "mov fs:[{0}], {1}", out(reg) _, in(reg) instance,
                options(nostack, preserves_flags)
            );
        }
    }
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub(super) use place::current_instance;
