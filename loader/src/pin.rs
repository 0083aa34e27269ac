//! Why a VM has to stay on its thread.

use std::fmt;

/// Why a VM cannot be handed to another thread: the fact and, by [`Display`](fmt::Display), the remedy.
///
/// The first group follows from the artifact ([`Module::pinned`](crate::Module::pinned)), the second from how the plugin is loaded, the
/// third from the state of one VM ([`Vm::pinned`](crate::Vm::pinned)).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PinReason {
    /// Its thread-local storage is of the initial-exec model: its code knows variables by their distance to the thread pointer.
    StaticTls,
    /// It can start threads, by this function, so its thread-local variables are those of a thread.
    Threads(String),
    /// It calls this function, which is not known to keep nothing for the calling thread.
    Function(String),
    /// It needs this library, which may keep state for each thread.
    Library(String),

    /// The system's loader maps it ([`native::Loading::System`](crate::native::Loading)): its thread-local variables are the thread's.
    SystemLoader,
    /// It is a part of the program, whose thread-local variables it uses.
    PartOfProgram,

    /// It has set the locale of its thread (`uselocale`).
    Locale,
    /// Its services may be bound to the thread: the VM was not built with
    /// [`VmBuilder::movable`](crate::VmBuilder::movable), or a clone of [`Vm::services`](crate::Vm::services) is still in use.
    Services,
    /// This many streams may be bound to the thread: they were not created with
    /// [`Vm::create_movable_stream`](crate::Vm::create_movable_stream).
    Streams(usize),
    /// It has a tracer.
    Tracer,
}

impl fmt::Display for PinReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PinReason::StaticTls => f.write_str(
                "its thread-local storage is of the initial-exec model: compile all of it without -ftls-model=initial-exec",
            ),
            PinReason::Threads(function) => {
                write!(f, "it can start threads ({function}): link it without what calls that function")
            }
            PinReason::Function(function) => {
                write!(f, "it calls {function}, which may keep something for its thread: link it without what calls that function")
            }
            PinReason::Library(library) => {
                write!(f, "it needs {library}, which may keep state for each thread: link it statically with that library")
            }
            PinReason::SystemLoader => {
                f.write_str("the system's loader maps it: let this loader map it (native::Loading::Image)")
            }
            PinReason::PartOfProgram => {
                f.write_str("it is a part of the program and uses its thread-local variables: load it from a file")
            }
            PinReason::Locale => f.write_str("it has set the locale of its thread: let the plugin restore it before a callback returns"),
            PinReason::Services => f.write_str(
                "its services may be bound to the thread: build it with VmBuilder::movable, and keep no clone of Vm::services",
            ),
            PinReason::Streams(count) => {
                write!(f, "streams that may be bound to the thread: {count}; create them with Vm::create_movable_stream")
            }
            PinReason::Tracer => f.write_str("it has a tracer: remove it with Vm::set_tracer(None)"),
        }
    }
}
