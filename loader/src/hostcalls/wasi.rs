//! The WASI functions that compiled plugins import, with the semantics of proxy-wasm-cpp-host: no
//! files, no sockets, standard output to the log, the environment from the configuration.
//!
//! Numbers are WASI's errno.

use dynvm_abi::types::{LogLevel, Status};

use crate::instance::{Addr, Guest, InstanceState, Phase};

pub(crate) const SUCCESS: u32 = 0;
const BADF: u32 = 8;
const FAULT: u32 = 21;
const INVAL: u32 = 28;
const NOENT: u32 = 44;
const NOSYS: u32 = 52;
const NOTSUP: u32 = 58;
pub(crate) const NOTCAPABLE: u32 = 76;

const STDOUT: u32 = 1;
const STDERR: u32 = 2;

/// Size limit of one `random_get` in bytes. It bounds the time of a hostcall.
const MAX_RANDOM: u64 = 64 * 1024;

type Answer = Result<(), u32>;

/// The answer of a function without effects.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Inert {
    /// Always this errno.
    Always(u32),
    /// Success for standard output and error (the first argument), else `BADF`.
    StandardOnly,
}

impl Inert {
    pub(crate) fn errno(self, first_argument: u32) -> u32 {
        match self {
            Inert::Always(errno) => errno,
            Inert::StandardOnly if matches!(first_argument, STDOUT | STDERR) => SUCCESS,
            Inert::StandardOnly => BADF,
        }
    }
}

/// Functions without effects: name, parameters (`i` is i32, `I` is i64), answer.
pub(crate) const INERT: &[(&str, &str, Inert)] = &[
    ("args_get", "ii", Inert::Always(SUCCESS)),
    ("fd_advise", "iIIi", Inert::Always(SUCCESS)),
    ("fd_allocate", "iII", Inert::StandardOnly),
    ("fd_close", "i", Inert::Always(NOSYS)),
    ("fd_datasync", "i", Inert::StandardOnly),
    ("fd_fdstat_set_flags", "ii", Inert::Always(NOSYS)),
    ("fd_fdstat_set_rights", "iII", Inert::StandardOnly),
    ("fd_filestat_get", "ii", Inert::Always(BADF)),
    ("fd_filestat_set_size", "iI", Inert::StandardOnly),
    ("fd_filestat_set_times", "iIIi", Inert::StandardOnly),
    ("fd_pread", "iiiIi", Inert::Always(NOSYS)),
    ("fd_prestat_dir_name", "iii", Inert::Always(NOSYS)),
    ("fd_prestat_get", "ii", Inert::Always(BADF)),
    ("fd_pwrite", "iiiIi", Inert::Always(BADF)),
    ("fd_read", "iiii", Inert::Always(NOSYS)),
    ("fd_readdir", "iiiIi", Inert::Always(20)),
    ("fd_renumber", "ii", Inert::Always(NOTSUP)),
    ("fd_seek", "iIii", Inert::Always(NOSYS)),
    ("fd_sync", "i", Inert::StandardOnly),
    ("fd_tell", "ii", Inert::Always(NOSYS)),
    ("path_create_directory", "iii", Inert::Always(NOTSUP)),
    ("path_filestat_get", "iiiii", Inert::Always(NOTSUP)),
    ("path_filestat_set_times", "iiiiIIi", Inert::Always(NOTSUP)),
    ("path_link", "iiiiiii", Inert::Always(NOTSUP)),
    ("path_open", "iiiiiIIii", Inert::Always(NOENT)),
    ("path_readlink", "iiiiii", Inert::Always(NOTSUP)),
    ("path_remove_directory", "iii", Inert::Always(NOTSUP)),
    ("path_rename", "iiiiii", Inert::Always(NOTSUP)),
    ("path_symlink", "iiiii", Inert::Always(NOTSUP)),
    ("path_unlink_file", "iii", Inert::Always(NOTSUP)),
    ("sched_yield", "", Inert::Always(SUCCESS)),
    ("sock_accept", "iii", Inert::Always(NOTSUP)),
    ("sock_recv", "iiiiii", Inert::Always(NOTSUP)),
    ("sock_send", "iiiii", Inert::Always(NOTSUP)),
    ("sock_shutdown", "ii", Inert::Always(NOTSUP)),
];

/// Checks that a function may be called in this phase and with this configuration. The error is the
/// errno to return; a call from the plugin's allocator also fails the VM.
pub(crate) fn permit(state: &InstanceState, name: &str) -> Answer {
    if state.phase() == Phase::Allocating
        && !matches!(name, "fd_write" | "clock_time_get" | "poll_oneoff" | "sched_yield")
    {
        state.fail_with(
            crate::FailureKind::Restricted,
            format!("the plugin called {name} from its allocator, where only proxy_log, fd_write and clock_time_get are allowed"),
        );
        return Err(NOTCAPABLE);
    }
    if state.config.capabilities.allows(name) {
        return Ok(());
    }
    let text = format!("the plugin called {name}, which its capability restriction does not allow");
    state.log(LogLevel::Error, text.as_bytes());
    Err(NOTCAPABLE)
}

fn fault(_: Status) -> u32 {
    FAULT
}

fn read_u32<G: Guest>(guest: &G, addr: u64) -> Result<u32, u32> {
    let bytes = guest.read(Addr(addr), 4).map_err(fault)?;
    Ok(u32::from_le_bytes(bytes.try_into().map_err(|_| FAULT)?))
}

/// Writes standard output and error to the log, at levels info and error, without one final
/// newline.
pub(crate) fn fd_write<G: Guest>(
    guest: &mut G,
    state: &InstanceState,
    fd: u32,
    iovs: u32,
    count: u32,
    written: u32,
) -> Answer {
    let level = match fd {
        STDOUT => LogLevel::Info,
        STDERR => LogLevel::Error,
        _ => return Err(BADF),
    };
    let mut text = Vec::new();
    for index in 0..u64::from(count) {
        let iov = u64::from(iovs) + index * 8;
        let (data, size) = (read_u32(guest, iov)?, read_u32(guest, iov + 4)?);
        text.extend_from_slice(guest.read(Addr(data.into()), size.into()).map_err(fault)?);
    }
    let len = text.len() as u32;
    if text.last() == Some(&b'\n') {
        text.pop();
    }
    if len > 0 {
        state.log(level, &text);
    }
    guest.write_u32(Addr(written.into()), len).map_err(fault)
}

/// Reports standard output and error as writable character devices.
pub(crate) fn fd_fdstat_get<G: Guest>(guest: &mut G, _: &InstanceState, fd: u32, stat: u32) -> Answer {
    const FILETYPE_CHARACTER_DEVICE: u8 = 2;
    const RIGHTS_FD_WRITE: u64 = 64;
    if !matches!(fd, STDOUT | STDERR) {
        return Err(BADF);
    }
    let mut bytes = [0; 24];
    bytes[0] = FILETYPE_CHARACTER_DEVICE;
    bytes[8..16].copy_from_slice(&RIGHTS_FD_WRITE.to_le_bytes());
    guest.slice_mut(Addr(stat.into()), 24).map_err(fault)?.copy_from_slice(&bytes);
    Ok(())
}

pub(crate) fn environ_get<G: Guest>(guest: &mut G, state: &InstanceState, pointers: u32, strings: u32) -> Answer {
    let (mut pointer, mut at) = (u64::from(pointers), u64::from(strings));
    for (name, value) in &state.config.environment {
        guest.write_u32(Addr(pointer), at as u32).map_err(fault)?;
        let entry = format!("{name}={value}\0");
        guest.slice_mut(Addr(at), entry.len()).map_err(fault)?.copy_from_slice(entry.as_bytes());
        pointer += 4;
        at += entry.len() as u64;
    }
    Ok(())
}

pub(crate) fn environ_sizes_get<G: Guest>(guest: &mut G, state: &InstanceState, count: u32, size: u32) -> Answer {
    let environment = &state.config.environment;
    let bytes: usize = environment.iter().map(|(name, value)| name.len() + value.len() + 2).sum();
    guest.write_u32(Addr(count.into()), environment.len() as u32).map_err(fault)?;
    guest.write_u32(Addr(size.into()), bytes as u32).map_err(fault)
}

pub(crate) fn args_sizes_get<G: Guest>(guest: &mut G, _: &InstanceState, count: u32, size: u32) -> Answer {
    guest.write_u32(Addr(count.into()), 0).map_err(fault)?;
    guest.write_u32(Addr(size.into()), 0).map_err(fault)
}

pub(crate) fn clock_time_get<G: Guest>(
    guest: &mut G,
    state: &InstanceState,
    clock: u32,
    _precision: u64,
    time: u32,
) -> Answer {
    let now = match clock {
        0 => state.services.clock.realtime_ns(),
        1 => state.services.clock.monotonic_ns(),
        _ => return Err(NOTSUP),
    };
    guest.write_u64(Addr(time.into()), now).map_err(fault)
}

pub(crate) fn clock_res_get<G: Guest>(guest: &mut G, _: &InstanceState, clock: u32, resolution: u32) -> Answer {
    if clock > 1 {
        return Err(NOTSUP);
    }
    guest.write_u64(Addr(resolution.into()), 1).map_err(fault)
}

pub(crate) fn random_get<G: Guest>(guest: &mut G, state: &InstanceState, target: u32, len: u32) -> Answer {
    if u64::from(len) > MAX_RANDOM {
        return Err(INVAL);
    }
    if len == 0 {
        return Ok(());
    }
    let target = guest.slice_mut(Addr(target.into()), len as usize).map_err(fault)?;
    if state.services.random.fill(target) { Ok(()) } else { Err(NOSYS) }
}

/// Returns at once without events: a plugin must not block the host's thread.
pub(crate) fn poll_oneoff<G: Guest>(
    guest: &mut G,
    _: &InstanceState,
    _in: u32,
    _out: u32,
    _count: u32,
    events: u32,
) -> Answer {
    guest.write_u32(Addr(events.into()), 0).map_err(fault)
}
