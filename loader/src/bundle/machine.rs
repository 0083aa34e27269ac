//! Names of machines, and the machine that an ELF file says it is for.

use super::BundleError;

/// The machines that an image can be bundled for, by the names of Rust's targets. All have 64 bits.
pub const MACHINES: [&str; 6] = ["x86_64", "aarch64", "loongarch64", "powerpc64le", "riscv64", "s390x"];

/// The numbers of the machines in ELF files (`e_machine`), and whether the file is big endian.
const NUMBERS: [(u16, bool); MACHINES.len()] =
    [(62, false), (183, false), (258, false), (21, false), (243, false), (22, true)];

/// The machine that this program runs on, by the name that its image would have.
pub fn this_machine() -> &'static str {
    match std::env::consts::ARCH {
        "powerpc64" if cfg!(target_endian = "little") => "powerpc64le",
        arch => arch,
    }
}

/// Checks that an image is an ELF file for a machine. Of a machine that this build does not know, that it is ELF.
pub(super) fn check(machine: &str, image: &[u8]) -> Result<(), BundleError> {
    let wrong = |found: &str| BundleError::WrongMachine { machine: machine.to_owned(), found: found.to_owned() };
    // e_ident: magic, class, byte order; e_machine lies behind e_type.
    let Some(header) = image.get(..20).filter(|header| header.starts_with(b"\x7fELF")) else {
        return Err(wrong("not an ELF file"));
    };
    let (is_64, big_endian) = (header[4] == 2, header[5] == 2);
    let number = [header[18], header[19]];
    let number = if big_endian { u16::from_be_bytes(number) } else { u16::from_le_bytes(number) };
    let found = NUMBERS.iter().position(|known| is_64 && *known == (number, big_endian)).map(|at| MACHINES[at]);
    match found {
        Some(found) if found == machine => Ok(()),
        Some(found) => Err(wrong(&format!("an ELF file for {found}"))),
        None if !is_known(machine) => Ok(()),
        None if !is_64 => Err(wrong(&format!("an ELF file of 32 bits, machine number {number}"))),
        None => Err(wrong(&format!("an ELF file for machine number {number}"))),
    }
}

pub(super) fn is_known(machine: &str) -> bool {
    MACHINES.contains(&machine)
}

pub(super) fn names() -> String {
    MACHINES.join(", ")
}
