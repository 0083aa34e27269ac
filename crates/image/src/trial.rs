//! Opens a library in a child process before this one opens it.
//!
//! The system's loader runs constructors and resolvers of a library under its lock, where no crash can be contained and no loop stopped. In a
//! child they do no harm, and what they do there they would do here.

use std::ffi::{CStr, c_int, c_void};
use std::mem::zeroed;
use std::ptr;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long a library may take to open.
const LIMIT: Duration = Duration::from_secs(10);

/// Opens a library in a child process, unless this one has it already.
///
/// # Errors
///
/// How the child ended otherwise than by having the library or the refusal of the system's loader. Where there can be no child, none.
///
/// # Safety
///
/// The library is trusted: its constructors run.
pub(crate) unsafe fn open(name: &CStr) -> Result<(), String> {
    // SAFETY: with this flag, nothing of the library runs.
    if !unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_NOLOAD) }.is_null() {
        return Ok(());
    }
    // SAFETY: the child calls only what follows.
    match unsafe { libc::fork() } {
        -1 => Ok(()),
        // SAFETY: this is the child; the caller's promise.
        0 => unsafe { open_and_end(name) },
        child => wait(child),
    }
}

/// # Safety
///
/// Called in a child process. The library is trusted.
unsafe fn open_and_end(name: &CStr) -> ! {
    extern "C" fn end(status: c_int, _: *mut c_void) {
        // SAFETY: ends the process.
        unsafe { libc::_exit(status) }
    }
    unsafe extern "C" {
        fn on_exit(function: extern "C" fn(c_int, *mut c_void), argument: *mut c_void) -> c_int;
    }
    // SAFETY: valid numbers and values; the caller's promise.
    unsafe {
        // The program's handlers, of crashes and of its exit, are for the program.
        for signal in [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGTRAP, libc::SIGABRT] {
            libc::signal(signal, libc::SIG_DFL);
        }
        on_exit(end, ptr::null_mut());
        let no_core: libc::rlimit = zeroed();
        libc::setrlimit(libc::RLIMIT_CORE, &no_core);
        libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL);
        libc::_exit(0)
    }
}

fn wait(child: libc::pid_t) -> Result<(), String> {
    let start = Instant::now();
    loop {
        let mut status = 0;
        // SAFETY: the place is valid.
        match unsafe { libc::waitpid(child, &mut status, libc::WNOHANG) } {
            0 if start.elapsed() < LIMIT => sleep(Duration::from_millis(1)),
            0 => {
                // SAFETY: this process's child, which has not been waited for.
                unsafe {
                    libc::kill(child, libc::SIGKILL);
                    libc::waitpid(child, &mut status, 0);
                }
                return Err(format!("its constructors have not ended after {} s", LIMIT.as_secs()));
            }
            -1 if std::io::Error::last_os_error().kind() == std::io::ErrorKind::Interrupted => {}
            // Someone else has waited for it.
            -1 => return Ok(()),
            _ if libc::WIFSIGNALED(status) => {
                return Err(format!("its constructors end the process by signal {}", libc::WTERMSIG(status)));
            }
            _ => match libc::WEXITSTATUS(status) {
                0 => return Ok(()),
                code => return Err(format!("its constructors end the process with code {code}")),
            },
        }
    }
}
