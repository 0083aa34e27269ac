//! Renames undefined symbols in the string table of a shared object.
//!
//! Most names are overwritten in place. Linkers store a name that another ends with as a part of that one: such a name gets a new
//! place, in the bytes of names that nobody needs.

use super::elf::{Facts, Undefined};

/// The symbols of a file that is being edited.
pub(super) struct Names<'a> {
    bytes: &'a mut [u8],
    elf: &'a Facts,
    /// Free bytes of the string table: where they begin, and how many.
    spare: (usize, usize),
}

/// Weak symbols that GCC's startup code refers to and nothing on Linux defines.
const UNNEEDED: &[&str] = &["_ITM_deregisterTMCloneTable", "_ITM_registerTMCloneTable"];

impl Names<'_> {
    pub(super) fn new<'a>(bytes: &'a mut [u8], elf: &'a Facts) -> Names<'a> {
        let mut names = Names { bytes, elf, spare: (0, 0) };
        for unneeded in UNNEEDED {
            if let Some(symbol) = names.find(unneeded)
                && names.is_alone(&symbol)
            {
                // Nameless, it stays undefined.
                names.bytes[symbol.entry_at..symbol.entry_at + 4].fill(0);
                names.bytes[symbol.name_at..symbol.name_at + symbol.name_len].fill(0);
                // Behind the null that begins it.
                names.spare = (symbol.name_at, symbol.name_len);
                break;
            }
        }
        names
    }

    /// Renames all of a set that occur, or none: true if at least one was, and each that occurs could be.
    pub(super) fn rename_all(&mut self, renames: &[(&str, &str)]) -> bool {
        let found: Vec<(Undefined, &str)> =
            renames.iter().filter_map(|(old, new)| Some((self.find(old)?, *new))).collect();
        let elsewhere = found.iter().filter(|(symbol, _)| !self.is_alone(symbol));
        if elsewhere.map(|(_, new)| new.len() + 1).sum::<usize>() > self.spare.1 {
            return false;
        }
        let alone: Vec<bool> = found.iter().map(|(symbol, _)| self.is_alone(symbol)).collect();
        for ((symbol, new), alone) in found.iter().zip(alone) {
            debug_assert!(!alone || new.len() <= symbol.name_len, "{new} fits in its place");
            if alone {
                let place = &mut self.bytes[symbol.name_at..symbol.name_at + symbol.name_len];
                place[..new.len()].copy_from_slice(new.as_bytes());
                place[new.len()..].fill(0);
            } else {
                self.move_name(symbol, new);
            }
        }
        !found.is_empty()
    }

    /// Gives a symbol a name in the spare bytes, which are enough for it.
    fn move_name(&mut self, symbol: &Undefined, new: &str) {
        let (at, left) = self.spare;
        self.bytes[at..at + new.len()].copy_from_slice(new.as_bytes());
        self.spare = (at + new.len() + 1, left - new.len() - 1);
        let offset = (at - self.elf.strings_at) as u32;
        self.bytes[symbol.entry_at..symbol.entry_at + 4].copy_from_slice(&offset.to_le_bytes());
    }

    fn find(&self, name: &str) -> Option<Undefined> {
        let has_name = |symbol: &&Undefined| {
            let place = symbol.name_at..symbol.name_at + symbol.name_len;
            // What was moved has an empty place in the table, or one that is another's by now.
            self.bytes[place] == *name.as_bytes() && self.name_of(symbol) == Some(symbol.name_at)
        };
        self.elf.undefined.iter().find(has_name).copied()
    }

    /// Where the name of a symbol begins now.
    fn name_of(&self, symbol: &Undefined) -> Option<usize> {
        let offset = self.bytes.get(symbol.entry_at..symbol.entry_at + 4)?;
        Some(self.elf.strings_at + u32::from_le_bytes(offset.try_into().ok()?) as usize)
    }

    /// Whether no other name shares these bytes.
    fn is_alone(&self, symbol: &Undefined) -> bool {
        let (at, len) = (symbol.name_at, symbol.name_len);
        let begins = at == 0 || self.bytes[at - 1] == 0;
        let shared_by_defined = self.elf.other_names.range(at..=at + len).next().is_some();
        let shared = |other: &Undefined| {
            (at + 1..=at + len).contains(&other.name_at) && self.name_of(other) == Some(other.name_at)
        };
        begins && !shared_by_defined && !self.elf.undefined.iter().any(shared)
    }
}
