//! Shared objects compiled for the test are linked, mapped and called.

#![cfg(target_os = "linux")]

mod compile;
mod facts;
mod libraries;
mod load;

mod statics;

mod thread_locals;
mod unwinding;
