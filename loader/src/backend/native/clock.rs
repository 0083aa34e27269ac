//! The time: where an edited image asks the C library or libstdc++ for it, the host's [`Clock`](crate::host::Clock), as on wasm.
//!
//! A host whose clock is the system's changes nothing by this: the C library is asked, and threads of the plugin's own see the same time.

use std::ffi::{c_int, c_void};
use std::sync::Arc;

use super::current_instance;
use crate::host::Clock;

const NS_PER_S: u64 = 1_000_000_000;

/// `int clock_gettime(clockid_t clock, struct timespec *time)`
///
/// # Safety
///
/// As the C library's.
pub(super) unsafe extern "C" fn clock_gettime(clock: libc::clockid_t, time: *mut libc::timespec) -> c_int {
    let now = host_clock().and_then(|host| read(&*host, clock));
    // SAFETY: the caller's promise: a place for the time, or null, which the C library answers.
    unsafe {
        match (now, time.as_mut()) {
            (Some(now), Some(time)) => {
                time.tv_sec = (now / NS_PER_S) as libc::time_t;
                time.tv_nsec = (now % NS_PER_S) as libc::c_long;
                0
            }
            _ => libc::clock_gettime(clock, time),
        }
    }
}

/// `int gettimeofday(struct timeval *time, void *zone)`
///
/// # Safety
///
/// As the C library's.
pub(super) unsafe extern "C" fn gettimeofday(time: *mut libc::timeval, zone: *mut c_void) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        let answer = libc::gettimeofday(time, zone.cast());
        if let (Some(host), Some(time)) = (host_clock(), time.as_mut()) {
            let now = host.realtime_ns();
            time.tv_sec = (now / NS_PER_S) as libc::time_t;
            time.tv_usec = (now % NS_PER_S / 1000) as libc::suseconds_t;
        }
        answer
    }
}

/// `time_t time(time_t *time)`
///
/// # Safety
///
/// As the C library's.
pub(super) unsafe extern "C" fn time(time: *mut libc::time_t) -> libc::time_t {
    // SAFETY: the caller's promise.
    unsafe {
        let Some(host) = host_clock() else { return libc::time(time) };
        let now = (host.realtime_ns() / NS_PER_S) as libc::time_t;
        if let Some(time) = time.as_mut() {
            *time = now;
        }
        now
    }
}

/// `std::chrono::system_clock::now()`: a `time_point`, which is returned as its number of nanoseconds.
pub(super) extern "C" fn system_clock_now() -> i64 {
    host_clock().map_or_else(|| system_ns(libc::CLOCK_REALTIME), |host| host.realtime_ns() as i64)
}

/// `std::chrono::steady_clock::now()`
pub(super) extern "C" fn steady_clock_now() -> i64 {
    host_clock().map_or_else(|| system_ns(libc::CLOCK_MONOTONIC), |host| host.monotonic_ns() as i64)
}

/// The clock of the VM that runs on this thread, unless it is the system's.
fn host_clock() -> Option<Arc<dyn Clock>> {
    // SAFETY: an instance lives for as long as it is current on this thread.
    let clock = unsafe { &current_instance::get().as_ref()?.state().services.clock };
    (!clock.is_system()).then(|| clock.clone())
}

/// What a host has no clock for, as processor time, is the system's.
fn read(host: &dyn Clock, clock: libc::clockid_t) -> Option<u64> {
    match clock {
        libc::CLOCK_REALTIME | libc::CLOCK_REALTIME_COARSE => Some(host.realtime_ns()),
        libc::CLOCK_MONOTONIC | libc::CLOCK_MONOTONIC_COARSE | libc::CLOCK_MONOTONIC_RAW | libc::CLOCK_BOOTTIME => {
            Some(host.monotonic_ns())
        }
        _ => None,
    }
}

fn system_ns(clock: libc::clockid_t) -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a clock that there is, and a place for its time.
    unsafe { libc::clock_gettime(clock, &mut time) };
    time.tv_sec * NS_PER_S as i64 + time.tv_nsec
}
