//! Names of machines, and the machine of an ELF file.

use super::BundleError;

/// Machines that an image can be bundled for, named as in Rust's target triples. All have 64 bits.
pub const MACHINES: [&str; 6] = ["x86_64", "aarch64", "loongarch64", "powerpc64le", "riscv64", "s390x"];

/// Machine numbers in ELF files (`e_machine`), and whether the files are big endian.
const NUMBERS: [(u16, bool); MACHINES.len()] =
    [(62, false), (183, false), (258, false), (21, false), (243, false), (22, true)];

/// The name of the machine that this program runs on.
pub fn this_machine() -> &'static str {
    match std::env::consts::ARCH {
        "powerpc64" if cfg!(target_endian = "little") => "powerpc64le",
        arch => arch,
    }
}

/// Checks that an image is an ELF file for a machine. For a machine unknown to this build, checks
/// only that it is ELF.
pub(super) fn check(machine: &str, image: &[u8]) -> Result<(), BundleError> {
    let wrong = |found: &str| BundleError::WrongMachine { machine: machine.to_owned(), found: found.to_owned() };
    // e_ident has magic, class and byte order; e_machine follows e_type.
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
