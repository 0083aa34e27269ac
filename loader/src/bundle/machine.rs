//! The machine of an ELF file.

use super::BundleError;
use super::names::{MACHINES, is_known};

/// Machine numbers in ELF files (`e_machine`), and whether the files are big endian.
const NUMBERS: [(u16, bool); MACHINES.len()] =
    [(62, false), (183, false), (258, false), (21, false), (243, false), (22, true)];

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
