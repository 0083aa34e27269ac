//! Shared objects compiled for the test are linked, mapped and called.

#![cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]

mod compile;
mod damage;
mod debugger;
mod facts;
mod harmless;
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
