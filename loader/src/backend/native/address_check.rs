//! Touches memory that a plugin names, before the host does: an address that is not the plugin's to give is an error, not a crash of
//! the host, which may hold a lock.

use std::sync::OnceLock;

/// Whether all of these bytes can be read.
#[inline]
pub(crate) fn readable(address: u64, len: u64) -> bool {
    touch(address, len, false)
}

/// Whether all of these bytes can be written to.
#[inline]
pub(crate) fn writable(address: u64, len: u64) -> bool {
    touch(address, len, true)
}

/// Page size: what can be accessed at one address of it can be at all.
const PAGE: u64 = 4096;

#[inline]
fn touch(address: u64, len: u64, write: bool) -> bool {
    let Some(last) = address.checked_add(len.max(1) - 1).filter(|_| address != 0) else { return false };
    let mut at = address;
    loop {
        // SAFETY: a fault is caught by the handler of signals. What is written is what was there; the memory is the plugin's, whose thread
        // this is.
        if !unsafe { if write { platform::write(at) } else { platform::read(at) } } {
            return false;
        }
        if at / PAGE == last / PAGE {
            return true;
        }
        at = (at / PAGE + 1) * PAGE;
    }
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod platform {
    use std::arch::asm;

    /// Where the handler of signals finds the instruction that may fault, and where to go on then: one entry for each place into which a
    /// probe was inlined.
    macro_rules! may_fault {
        ($instruction:literal) => {
            concat!(
                "2:\n",
                $instruction,
                "\n.pushsection dynvm_probe, \"awR\"\n.balign 8\n.quad 2b, {fault}\n.popsection\n",
                // Each copy of the loader in a process has its own.
                ".hidden __start_dynvm_probe\n.hidden __stop_dynvm_probe"
            )
        };
    }

    /// Reads a byte: false if that faulted and the handlers are installed.
    ///
    /// # Safety
    ///
    /// Without the handlers the byte can be read.
    #[inline]
    pub(super) unsafe fn read(address: u64) -> bool {
        // SAFETY: nothing is changed but flags; a fault goes on at the label.
        unsafe {
            asm!(
                may_fault!("cmp byte ptr [{address}], 0"),
                address = in(reg) address, fault = label { return false }, options(nostack, readonly)
            );
        }
        true
    }

    /// Writes to a byte what it holds: false if that faulted and the handlers are installed.
    ///
    /// # Safety
    ///
    /// Nobody else writes to the byte at the same time; without the handlers it can be written to.
    #[inline]
    pub(super) unsafe fn write(address: u64) -> bool {
        // SAFETY: adding 0 changes nothing in memory; a fault goes on at the label.
        unsafe {
            asm!(
                may_fault!("add byte ptr [{address}], 0"),
                address = in(reg) address, fault = label { return false }, options(nostack)
            );
        }
        true
    }
}

#[cfg(all(target_os = "linux", target_arch = "aarch64"))]
mod platform {
    use std::arch::asm;

    /// As on x86-64.
    macro_rules! may_fault {
        ($instruction:literal) => {
            concat!(
                "mov {failed:w}, #1\n2:\n",
                $instruction,
                "\nmov {failed:w}, wzr\n3:\n",
                ".pushsection dynvm_probe, \"awR\"\n.balign 8\n.quad 2b, 3b\n.popsection\n",
                ".hidden __start_dynvm_probe\n.hidden __stop_dynvm_probe"
            )
        };
    }

    /// Reads a byte: `None` if that faulted and the handlers are installed.
    ///
    /// # Safety
    ///
    /// Without the handlers the byte can be read.
    #[inline]
    unsafe fn load(address: u64) -> Option<u32> {
        let (failed, byte): (u32, u32);
        // SAFETY: nothing is changed but registers; a fault goes on at the end, with `failed` as it was set first.
        unsafe {
            asm!(
                may_fault!("ldrb {byte:w}, [{address}]"),
                address = in(reg) address, byte = out(reg) byte, failed = out(reg) failed, options(nostack, readonly)
            );
        }
        (failed == 0).then_some(byte)
    }

    /// Reads a byte: false if that faulted and the handlers are installed.
    ///
    /// # Safety
    ///
    /// Without the handlers the byte can be read.
    #[inline]
    pub(super) unsafe fn read(address: u64) -> bool {
        // SAFETY: the caller's promise.
        unsafe { load(address) }.is_some()
    }

    /// Writes to a byte what it holds: false if that faulted and the handlers are installed.
    ///
    /// # Safety
    ///
    /// Nobody else writes to the byte at the same time; without the handlers it can be written to.
    #[inline]
    pub(super) unsafe fn write(address: u64) -> bool {
        // SAFETY: the caller's promise.
        let Some(byte) = (unsafe { load(address) }) else { return false };
        let failed: u32;
        // SAFETY: the byte stays what it is; a fault goes on at the end, with `failed` as it was set first.
        unsafe {
            asm!(
                may_fault!("strb {byte:w}, [{address}]"),
                address = in(reg) address, byte = in(reg) byte, failed = out(reg) failed, options(nostack)
            );
        }
        failed == 0
    }
}

#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
mod platform {
    /// Nothing can be caught here, so nothing is tried but null.
    ///
    /// # Safety
    ///
    /// None.
    pub(super) unsafe fn read(address: u64) -> bool {
        address != 0
    }

    /// The same.
    ///
    /// # Safety
    ///
    /// None.
    pub(super) unsafe fn write(address: u64) -> bool {
        address != 0
    }
}

/// An instruction that may fault, and where to go on then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Fault {
    /// The address of the instruction.
    pub instruction: usize,
    /// Where to go on.
    pub landing: usize,
}

/// Tables of embedders. Set once each, never removed, so that a signal handler may read them.
static TABLES: [OnceLock<&'static [Fault]>; 8] = [const { OnceLock::new() }; 8];

/// Adds a table, unless it is there. False if there is no room.
pub(crate) fn catch_faults(faults: &'static [Fault]) -> bool {
    TABLES.iter().any(|table| std::ptr::eq(*table.get_or_init(|| faults), faults))
}

#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
unsafe extern "C" {
    // Made by the linker around the section.
    static __start_dynvm_probe: [Fault; 1];
    static __stop_dynvm_probe: [Fault; 1];
}

/// The address at which to resume, if the instruction belongs to a probe.
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(super) fn landing(instruction: usize) -> Option<usize> {
    let (start, stop) = (&raw const __start_dynvm_probe, &raw const __stop_dynvm_probe);
    // SAFETY: the linker puts all entries between the two.
    let own = unsafe { std::slice::from_raw_parts(start.cast::<Fault>(), stop.offset_from_unsigned(start)) };
    let tables = TABLES.iter().map_while(OnceLock::get).copied();
    let fault = std::iter::once(own).chain(tables).flatten().find(|fault| fault.instruction == instruction);
    fault.map(|fault| fault.landing)
}
