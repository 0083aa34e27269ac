//! Functions of the process: log, mode, threads, and the module's own image.

use dynvm::abi::types::LogLevel;

use super::functions::{envoy, has, missing, missing_required};
use super::types::ModuleBuffer;

/// Writes a message to Envoy's log, under the id `dynamic_modules`.
pub fn log(level: LogLevel, message: &[u8]) {
    if let Some(log) = envoy().log {
        // SAFETY: the message outlives the call, which copies it.
        unsafe { log(level as i32, ModuleBuffer::new(message)) }
    }
}

/// The lowest level that Envoy's log keeps.
pub fn log_level() -> LogLevel {
    // `get_log_level` came with 1.39.
    if let Some(level) = envoy().get_log_level {
        // SAFETY: any thread may call it.
        let level = unsafe { level() };
        return u32::try_from(level).ok().and_then(LogLevel::from_u32).unwrap_or(LogLevel::Critical);
    }
    let Some(enabled) = envoy().log_enabled else { return LogLevel::Info };
    let levels = [LogLevel::Trace, LogLevel::Debug, LogLevel::Info, LogLevel::Warn, LogLevel::Error];
    // SAFETY: any thread may call it.
    levels.into_iter().find(|level| unsafe { enabled(*level as i32) }).unwrap_or(LogLevel::Critical)
}

/// True if Envoy only checks its configuration. Main thread only.
pub fn is_validation_mode() -> bool {
    // SAFETY: called on the main thread, by the doc comment.
    envoy().is_validation_mode.is_some_and(|ask| unsafe { ask() })
}

/// Prepares the process for the module. Returns the version of the ABI to report, or why the module cannot run.
pub(super) fn start() -> Result<&'static std::ffi::CStr, String> {
    let required = missing_required();
    if !required.is_empty() {
        return Err(format!("this Envoy lacks functions that DynVM needs: {}", required.join(", ")));
    }
    pin();
    let missing = missing();
    let lacks = if missing.is_empty() { String::new() } else { format!("; this Envoy lacks {}", missing.join(", ")) };
    log(LogLevel::Info, format!("[dynvm] DynVM {}{lacks}", env!("CARGO_PKG_VERSION")).as_bytes());
    // Envoy warns of every version but its own. 1.40 is the first of v0.2.0, and the first with this function.
    Ok(if has(c"envoy_dynamic_module_callback_http_get_timing_info") { c"v0.2.0" } else { c"v0.1.0" })
}

/// Keeps the module in memory for good: threads hold values with destructors in its code, and plugins are called by it.
fn pin() {
    let here = pin as fn() as *const libc::c_void;
    // SAFETY: `dladdr` fills the structure if it returns other than 0, with a name that lives as long as the module.
    // Opening an open library by its name runs no code.
    unsafe {
        let mut info: libc::Dl_info = std::mem::zeroed();
        if libc::dladdr(here, &mut info) != 0 && !info.dli_fname.is_null() {
            libc::dlopen(info.dli_fname, libc::RTLD_NOW | libc::RTLD_NOLOAD | libc::RTLD_NODELETE);
        }
    }
}
