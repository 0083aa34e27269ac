//! Whether this system has what an image needs, as far as the file says.

use object::LittleEndian as LE;
use object::elf::FileHeader64;
use object::read::elf::{FileHeader as _, SectionHeader as _};

/// Checks the version of the C library. Anything that cannot be read is left to the system's loader.
///
/// # Errors
///
/// Which versions, and what to do.
pub(super) fn check(bytes: &[u8]) -> Result<(), String> {
    match (needed(bytes), present()) {
        (Some(needed), Some(present)) if needed > present => Err(format!(
            "it needs glibc 2.{needed}, this system has 2.{present}: build the plugin on this system or an older one"
        )),
        _ => Ok(()),
    }
}

/// The minor version of the newest `GLIBC_2.x` among the symbol versions that the file refers to.
fn needed(bytes: &[u8]) -> Option<u32> {
    let header = FileHeader64::<LE>::parse(bytes).ok()?;
    let sections = header.sections(LE, bytes).ok()?;
    let (mut libraries, strings) = sections.gnu_verneed(LE, bytes).ok()??;
    let strings = sections.section(strings).ok()?.data(LE, bytes).ok()?;
    let strings = object::read::StringTable::new(strings, 0, strings.len() as u64);
    let mut newest = None;
    while let Some((_, mut versions)) = libraries.next().ok()? {
        while let Some(version) = versions.next().ok()? {
            newest = newest.max(version.name(LE, strings).ok().and_then(minor));
        }
    }
    newest
}

#[cfg(target_env = "gnu")]
fn present() -> Option<u32> {
    // SAFETY: takes nothing, and returns a string that is never freed.
    let version = unsafe { std::ffi::CStr::from_ptr(libc::gnu_get_libc_version()) };
    version.to_str().ok()?.strip_prefix("2.")?.split('.').next()?.parse().ok()
}

#[cfg(not(target_env = "gnu"))]
fn present() -> Option<u32> {
    None
}

/// The x of `GLIBC_2.x` or `GLIBC_2.x.y`.
fn minor(version: &[u8]) -> Option<u32> {
    let digits = version.strip_prefix(b"GLIBC_2.")?.split(|byte| *byte == b'.').next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}
