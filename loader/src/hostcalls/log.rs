//! Logging and time.

use dynvm_abi::types::{LogLevel, Status};

use super::Answer;
use crate::vm::{Addr, Guest, VmCell};

pub(super) fn proxy_log<G: Guest>(guest: &mut G, cell: &VmCell, level: u32, message: Addr, size: u64) -> Answer {
    let level = LogLevel::from_u32(level).ok_or(Status::BadArgument)?;
    let message = guest.read(message, size)?;
    cell.log(level, message);
    Ok(())
}

pub(super) fn proxy_get_log_level<G: Guest>(guest: &mut G, cell: &VmCell, level: Addr) -> Answer {
    guest.write_u32(level, cell.services.log.level() as u32)
}

pub(super) fn proxy_get_current_time_nanoseconds<G: Guest>(guest: &mut G, cell: &VmCell, time: Addr) -> Answer {
    guest.write_u64(time, cell.services.clock.realtime_ns())
}
