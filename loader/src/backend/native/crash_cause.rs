//! What ended a guarded call, if it did not return.

use super::backtrace::Backtrace;

/// A crash of the plugin. Made where nothing may be allocated, so it has only plain values.
#[derive(Clone, Copy)]
pub(super) struct Crash {
    pub(super) cause: Cause,
    pub(super) backtrace: Backtrace,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(dead_code, reason = "some happen only with a heap, or where crashes are contained")]
pub(super) enum Cause {
    /// A fault of the processor.
    Fault {
        signal: i32,
        place: Place,
        /// The address that could not be accessed.
        address: usize,
    },
    /// The plugin called `abort`, as a Rust panic does in the end.
    Abort,
    /// It called `exit`.
    Exit(i32),
    /// A C++ exception was not caught, or `std::terminate` was called.
    Exception,
    /// `assert` failed.
    Assertion,
    /// The stack protector found a buffer overrun.
    StackSmashed,
    /// It called the loader with hardly any stack left.
    StackOverflow,
    /// It called `pthread_exit`.
    ThreadExit,
    /// It asked for more memory than it may have.
    MemoryLimit,
    /// It freed what is no block of its heap, or damaged the heap otherwise.
    HeapDefect(dynvm_heap::Corrupt),
    /// It ran longer than it may.
    Overrun,
    /// The VM failed inside of a hostcall, which has said how.
    Hostcall,
}

/// Where the instruction that faulted is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In the image, relative to its base.
    Image(usize),
    /// In a function of the C library that holds nothing, like `memcpy`.
    Library,
    /// Where no code is.
    Nowhere,
}

impl Cause {
    /// The cause in words.
    pub(super) fn describe(self) -> String {
        match self {
            Cause::Fault { signal, place, address } => {
                let name = match signal {
                    libc::SIGSEGV => "SIGSEGV",
                    libc::SIGBUS => "SIGBUS",
                    libc::SIGFPE => "SIGFPE",
                    libc::SIGILL => "SIGILL",
                    libc::SIGTRAP => "SIGTRAP",
                    _ => "a signal",
                };
                match place {
                    Place::Image(offset) => {
                        format!("{name} at instruction {offset:#x} of the plugin's image, address {address:#x}")
                    }
                    Place::Library => {
                        format!("{name} in a function of the C library that the plugin called, address {address:#x}")
                    }
                    Place::Nowhere => format!("{name}: a jump to address {address:#x}, where there is no code"),
                }
            }
            Cause::Abort => "the plugin aborted, as a Rust panic does; its message was logged".to_owned(),
            Cause::Exit(code) => format!("the plugin called exit({code})"),
            Cause::Exception => "the plugin threw a C++ exception that nobody caught".to_owned(),
            Cause::Assertion => "an assertion of the plugin's failed".to_owned(),
            Cause::StackSmashed => "the plugin overran a buffer on its stack (stack smashing detected)".to_owned(),
            Cause::StackOverflow => "the plugin used up its stack, by endless recursion or large variables".to_owned(),
            Cause::ThreadExit => "the plugin called pthread_exit on a thread of the host".to_owned(),
            Cause::MemoryLimit => "the plugin needs more memory than the VM's memory limit".to_owned(),
            Cause::HeapDefect(defect) => format!("the plugin damaged its heap: {defect}"),
            Cause::Overrun => "the plugin ran longer than its budget (VmConfig::callback_budget)".to_owned(),
            Cause::Hostcall => "the plugin failed inside of a hostcall".to_owned(),
        }
    }
}
