//! The time: where an image asks the C library or libstdc++ for it, the host's [`Clock`](crate::host::Clock), as on wasm.
//!
//! A host whose clock is the system's changes nothing by this: the C library is asked, and threads of the plugin's own see the same time.

use std::ffi::{c_int, c_void};

use super::{address_check, door};
use crate::host::Clock;

const NS_PER_S: u64 = 1_000_000_000;

/// `int clock_gettime(clockid_t clock, struct timespec *time)`
///
/// # Safety
///
/// As the C library's.
pub(super) unsafe extern "C" fn clock_gettime(clock: libc::clockid_t, time: *mut libc::timespec) -> c_int {
    // SAFETY: tested before it is written to; the C library answers a bad one.
    unsafe {
        match is_writable(time).then(|| from_host(|host| read(host, clock))).flatten() {
            Some(now) => {
                time.write(libc::timespec {
                    tv_sec: (now / NS_PER_S) as libc::time_t,
                    tv_nsec: (now % NS_PER_S) as libc::c_long,
                });
                0
            }
            None => libc::clock_gettime(clock, time),
        }
    }
}

/// `int gettimeofday(struct timeval *time, void *zone)`
///
/// # Safety
///
/// As the C library's.
pub(super) unsafe extern "C" fn gettimeofday(time: *mut libc::timeval, zone: *mut c_void) -> c_int {
    // SAFETY: the caller's promise; the time is tested before it is written to.
    unsafe {
        let answer = libc::gettimeofday(time, zone.cast());
        if is_writable(time)
            && let Some(now) = from_host(|host| Some(host.realtime_ns()))
        {
            time.write(libc::timeval {
                tv_sec: (now / NS_PER_S) as libc::time_t,
                tv_usec: (now % NS_PER_S / 1000) as libc::suseconds_t,
            });
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
    // SAFETY: the caller's promise; the place is tested before it is written to.
    unsafe {
        let Some(now) = from_host(|host| Some(host.realtime_ns())) else { return libc::time(time) };
        let now = (now / NS_PER_S) as libc::time_t;
        if is_writable(time) {
            time.write(now);
        }
        now
    }
}

/// `std::chrono::system_clock::now()`: a `time_point`, which is returned as its number of nanoseconds.
pub(super) extern "C" fn system_clock_now() -> i64 {
    from_host(|host| Some(host.realtime_ns())).map_or_else(|| system_ns(libc::CLOCK_REALTIME), |now| now as i64)
}

/// `std::chrono::steady_clock::now()`
pub(super) extern "C" fn steady_clock_now() -> i64 {
    from_host(|host| Some(host.monotonic_ns())).map_or_else(|| system_ns(libc::CLOCK_MONOTONIC), |now| now as i64)
}

/// The time of the VM that runs on this thread; `None` where that is the system's.
fn from_host(read: impl FnOnce(&dyn Clock) -> Option<u64>) -> Option<u64> {
    let instance = door::caller()?;
    let clock = &instance.state().services.clock;
    if clock.is_system() {
        return None;
    }
    door::enter(instance, "its clock", || read(&**clock)).ok().flatten()
}

fn is_writable<T>(place: *mut T) -> bool {
    address_check::writable(place as u64, size_of::<T>() as u64)
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
    // SAFETY: the clock exists, and the pointer is valid for its time.
    unsafe { libc::clock_gettime(clock, &mut time) };
    time.tv_sec * NS_PER_S as i64 + time.tv_nsec
}
