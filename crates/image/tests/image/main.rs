//! Shared objects compiled for the test are linked, mapped and called.

#![cfg(target_os = "linux")]

mod compile;
mod facts;
mod hostile;
mod libraries;
mod load;
mod refusals;
mod reuse;
mod statics;
mod storm;
mod thread_locals;
mod unwinding;
