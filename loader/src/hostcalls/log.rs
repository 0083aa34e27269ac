//! Hostcalls for logging and for the time.

use dynvm_abi::types::{LogLevel, Status};

use super::Answer;
use crate::instance::{Addr, Guest, InstanceState};

pub(super) fn proxy_log<G: Guest>(
    guest: &mut G,
    state: &InstanceState,
    level: u32,
    message: Addr,
    size: u64,
) -> Answer {
    let level = LogLevel::from_u32(level).ok_or(Status::BadArgument)?;
    let message = guest.read(message, size)?;
    state.log(level, message);
    Ok(())
}

pub(super) fn proxy_get_log_level<G: Guest>(guest: &mut G, state: &InstanceState, level: Addr) -> Answer {
    guest.write_u32(level, state.services.log.level() as u32)
}

pub(super) fn proxy_get_current_time_nanoseconds<G: Guest>(guest: &mut G, state: &InstanceState, time: Addr) -> Answer {
    guest.write_u64(time, state.services.clock.realtime_ns())
}
