//! Watching what passes between host and plugin: every callback and hostcall with its arguments and results.
//!
//! A VM without a tracer pays nothing for this; with one, each call is decoded by the table of the ABI and handed to the tracer.

use dynvm_abi::types::Status;

/// An argument or result, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Value {
    /// A number.
    Number(i128),
    /// Bytes, read from or written to the plugin's memory.
    Bytes(Vec<u8>),
    /// An address that the plugin may not use.
    Invalid,
}

/// A named argument or result.
pub type Named = (&'static str, Value);

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The host calls the plugin.
    CallbackEnter {
        /// The callback.
        name: &'static str,
        /// Its arguments.
        arguments: Vec<Named>,
    },
    /// The plugin returns.
    CallbackLeave {
        /// The callback.
        name: &'static str,
        /// What it returned; `None` if it returns nothing, is not exported, or failed.
        returned: Option<u32>,
        /// Whether the plugin exports it.
        exported: bool,
        /// How the VM failed, if it did.
        failure: Option<String>,
    },
    /// The plugin called the host.
    Hostcall {
        /// The hostcall.
        name: &'static str,
        /// Its arguments.
        arguments: Vec<Named>,
        /// What the host answered.
        status: Status,
        /// The values that it returned.
        results: Vec<Named>,
    },
}

/// Takes events, on the VM's thread, inside of callbacks: it must not call into the VM.
pub trait Tracer {
    /// One event.
    fn event(&mut self, event: Event);
}

impl<F: FnMut(Event)> Tracer for F {
    fn event(&mut self, event: Event) {
        self(event);
    }
}
