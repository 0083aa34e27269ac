//! Entries of hostcalls that go to an embedder's function directly, in the fewest instructions.
//!
//! One test decides whether the plugin may enter the host, another whether the hostcall is no more than a call of the function and enough of
//! the stack is left ([`Instance::direct_stack_limit`](super::vm::Instance::direct_stack_limit)). Otherwise the entry for all VMs does what is
//! to be done. In between the VM is noted as in the host; afterwards one word says whether anything happened to it.

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
pub(super) fn entry(_: usize) -> Option<usize> {
    None
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub(super) use platform::entry;

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod platform {
    use std::ffi::c_void;
    use std::mem::offset_of;

    use dynvm_abi::table::{HOSTCALLS, HostcallId};

    use super::super::current_instance::current_instance;
    use super::super::custom_hostcalls::{KNOWN, known};
    use super::super::vm::Instance;
    use super::super::{door, hostcall_entries};
    use crate::instance::budget::WatchdogEntry;

    /// The entry of a hostcall; `None` if arguments of it are on the stack.
    pub(in super::super) fn entry(index: usize) -> Option<usize> {
        const REGISTERS: usize = 6;
        (HOSTCALLS[index].params.len() <= REGISTERS).then_some(ENTRIES[index].0 as usize)
    }

    /// The address of a function.
    struct Entry(*const c_void);

    // SAFETY: addresses of functions, which any thread may call.
    unsafe impl Sync for Entry {}

    /// Instructions that cut off what the ABI leaves undefined in the registers of arguments.
    macro_rules! defined_bits {
        ([$($code:expr),*] [] [$($unused:tt)*]) => { concat!($($code,)* "") };
        // What has no register has no entry here.
        ([$($code:expr),*] [$($ty:ident)*] []) => { concat!($($code,)* "") };
        ([$($code:expr),*] [bool $($ty:ident)*] [($half:literal $byte:literal) $($rest:tt)*]) => {
            defined_bits!(
                [$($code,)* concat!("test ", $byte, ", ", $byte, "\nsetne ", $byte, "\nmovzx ", $half, ", ", $byte, "\n")]
                [$($ty)*] [$($rest)*]
            )
        };
        ([$($code:expr),*] [u32 $($ty:ident)*] [$half:tt $($rest:tt)*]) => {
            defined_bits!(half [$($code),*] [$($ty)*] [$half $($rest)*])
        };
        ([$($code:expr),*] [i32 $($ty:ident)*] [$half:tt $($rest:tt)*]) => {
            defined_bits!(half [$($code),*] [$($ty)*] [$half $($rest)*])
        };
        ([$($code:expr),*] [size32 $($ty:ident)*] [$half:tt $($rest:tt)*]) => {
            defined_bits!(half [$($code),*] [$($ty)*] [$half $($rest)*])
        };
        ([$($code:expr),*] [$whole:ident $($ty:ident)*] [$register:tt $($rest:tt)*]) => {
            defined_bits!([$($code),*] [$($ty)*] [$($rest)*])
        };
        (half [$($code:expr),*] [$($ty:ident)*] [($half:literal $byte:literal) $($rest:tt)*]) => {
            defined_bits!([$($code,)* concat!("mov ", $half, ", ", $half, "\n")] [$($ty)*] [$($rest)*])
        };
    }

    macro_rules! direct_entries {
        ($($name:ident($($param:ident: $ty:ident),*) $versions:ident [$($status:ident)*];)*) => {
            $(
                #[unsafe(naked)]
                unsafe extern "C" fn $name() {
                    core::arch::naked_asm!(
                        ".cfi_startproc",
                        current_instance!("rax"),
                        "mov rax, fs:[rax]",
                        "test rax, rax",
                        "je 2f",
                        "cmp byte ptr [rax + {in_host}], 0",
                        "jne 2f",
                        "cmp rsp, [rax + {direct_stack_limit}]",
                        "jb 2f",
                        defined_bits!(
                            [] [$($ty)*] [("edi" "dil") ("esi" "sil") ("edx" "dl") ("ecx" "cl") ("r8d" "r8b") ("r9d" "r9b")]
                        ),
                        "mov byte ptr [rax + {in_host}], 1",
                        "push rax",
                        ".cfi_adjust_cfa_offset 8",
                        "call [rax + {function}]",
                        "pop rcx",
                        ".cfi_adjust_cfa_offset -8",
                        "mov byte ptr [rcx + {in_host}], 0",
                        "mov rdx, [rcx + {slot}]",
                        "or eax, [rdx + {attention}]",
                        "jne 3f",
                        "ret",
                        "2:",
                        "jmp {full}",
                        // Another status, which SDKs know, and nothing else?
                        "3:",
                        "cmp eax, 31",
                        "ja 4f",
                        "mov edx, {known}",
                        "bt edx, eax",
                        "jnc 4f",
                        "ret",
                        "4:",
                        "mov rdi, rcx",
                        "mov esi, eax",
                        "jmp {status}",
                        ".cfi_endproc",
                        in_host = const offset_of!(Instance, in_host),
                        direct_stack_limit = const offset_of!(Instance, direct_stack_limit),
                        function = const offset_of!(Instance, direct) + size_of::<*const c_void>() * HostcallId::$name as usize,
                        slot = const offset_of!(Instance, slot),
                        attention = const WatchdogEntry::ATTENTION_AT,
                        known = const KNOWN,
                        full = sym hostcall_entries::$name,
                        status = sym status,
                    )
                }
            )*

            /// In the order of the table.
            static ENTRIES: [Entry; HOSTCALLS.len()] = [$(Entry($name as *const c_void)),*];
        };
    }

    dynvm_abi::hostcalls!(direct_entries);

    /// What the plugin gets from a hostcall that did not succeed, or in which something happened to the VM, whose bits are then in the status.
    extern "C" fn status(instance: &Instance, status: u32) -> u32 {
        let attention = instance.state().slot().map_or(0, |slot| slot.attention());
        door::check_time(instance);
        hostcall_entries::returned(instance, u64::from(known(status & !attention))) as u32
    }
}
