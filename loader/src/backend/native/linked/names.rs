//! What linked plugins take from the loader in place of the C library: an entry for each function, under the name by which plugins were
//! linked. An entry leaves no frame.

use super::super::interposed::interposed;
use super::super::{
    child_process, clock, destructors, environment, heap, keys, lines, locale, plugin_signals, process_exit, random,
    stdio, threads,
};

macro_rules! names {
    ($($kind:ident { $($name:literal => $function:path,)* })*) => {
        $($(
            const _: () = {
                // SAFETY: the prefix is the loader's.
                #[unsafe(naked)]
                #[unsafe(export_name = concat!("dynvm_libc_", $name))]
                extern "C" fn entry() {
                    #[cfg(target_arch = "x86_64")]
                    core::arch::naked_asm!("jmp {}", sym $function);
                    #[cfg(target_arch = "aarch64")]
                    core::arch::naked_asm!("b {}", sym $function);
                }
            };
        )*)*

        #[cfg(test)]
        const NAMES: &[&str] = &[$($($name),*),*];
    };
}

interposed!(names);

#[test]
fn names_are_those_by_which_plugins_are_linked() {
    let sorted = |names: &[&'static str]| {
        let mut names = names.to_vec();
        names.sort_unstable();
        names
    };
    assert_eq!(sorted(NAMES), sorted(dynvm_abi::linked::LIBC));
}
