//! Shared objects compiled for the test are linked, mapped and called.

#![cfg(target_os = "linux")]

mod compile;
mod debugger;
mod facts;
mod hostile;
mod libraries;
mod load;
mod refusals;
mod restricted;
mod reuse;
mod statics;
mod storm;
mod thread_locals;
mod unwinding;
