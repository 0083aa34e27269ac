//! The dynamic section.

use std::cell::Cell;
use std::ops::Range;

use object::elf;

use super::reader::{Bytes, Layout};
use crate::error::Error;

/// The entries that are read. Where the file has a tag twice, the last one counts, as for the system's loader.
#[derive(Default)]
pub(super) struct Dynamic<'a> {
    /// Where the section is in memory.
    pub(super) at: u64,
    entries: Vec<(i64, u64)>,
    strings: Bytes<'a>,
    /// Bytes of names that may still be read: a damaged file can name one long string very often.
    left: Cell<usize>,
}

impl<'a> Dynamic<'a> {
    pub(super) fn read(layout: &Layout<'a>) -> Result<Dynamic<'a>, Error> {
        let header = layout.headers.iter().rev().find(|(kind, _)| *kind == elf::PT_DYNAMIC);
        let (_, section) = header.ok_or(Error::NotLoadable(
            "the file has no dynamic section, so it cannot be loaded: build the plugin as a shared object",
        ))?;
        let bytes = layout.table(section.address, section.file_size, "dynamic section")?;
        let mut entries = Vec::new();
        for at in (0..bytes.0.len() as u64 / 16).map(|index| index * 16) {
            let (Some(tag), Some(value)) = (bytes.u64(at), bytes.u64(at + 8)) else { break };
            if tag == elf::DT_NULL as u64 {
                break;
            }
            entries.push((tag as i64, value));
        }
        let mut dynamic = Dynamic { at: section.address, entries, ..Dynamic::default() };
        let strings = dynamic.get(elf::DT_STRTAB).ok_or_else(|| Error::damaged("it has no string table"))?;
        let size = dynamic.get(elf::DT_STRSZ).ok_or_else(|| Error::damaged("its string table has no size"))?;
        dynamic.strings = layout.table(strings, size, "string table")?;
        // Names may share their ends.
        dynamic.left.set(dynamic.strings.0.len().saturating_mul(16));
        dynamic.check()?;
        Ok(dynamic)
    }

    /// Refuses what the image as a whole would need.
    fn check(&self) -> Result<(), Error> {
        let has = |tag, flag: u32| self.get(tag).is_some_and(|flags| flags & u64::from(flag) != 0);
        if has(elf::DT_FLAGS_1, elf::DF_1_PIE) {
            return Err(PROGRAM);
        }
        if self.get(elf::DT_TEXTREL).is_some() || has(elf::DT_FLAGS, elf::DF_TEXTREL) {
            return Err(Error::TextRelocations);
        }
        if self.get(elf::DT_FILTER).is_some() || self.get(elf::DT_AUXILIARY).is_some() {
            return Err(Error::Filter);
        }
        Ok(())
    }

    /// The value of a tag.
    pub(super) fn get(&self, tag: i64) -> Option<u64> {
        self.entries.iter().rev().find(|(found, _)| *found == tag).map(|(_, value)| *value)
    }

    /// A string of the string table.
    pub(super) fn string(&self, at: u64) -> Result<String, Error> {
        let name = self.strings.text(at).ok_or_else(|| Error::damaged("a name lies outside of the string table"))?;
        let left = self.left.get().checked_sub(name.len());
        self.left.set(left.ok_or_else(|| Error::damaged("its names overlap"))?);
        Ok(name)
    }

    /// The strings of all entries with a tag.
    pub(super) fn strings(&self, tag: i64) -> Result<Vec<String>, Error> {
        let entries = self.entries.iter().filter(|(found, _)| *found == tag);
        entries.map(|(_, at)| self.string(*at)).collect()
    }

    /// A table of entries of one size, named by the tags of its address, size and entries' size.
    pub(super) fn table(
        &self,
        layout: &Layout<'a>,
        [at, size, entry]: [i64; 3],
        expected: u64,
        what: &str,
    ) -> Result<Bytes<'a>, Error> {
        let Some(at) = self.get(at) else { return Ok(Bytes::default()) };
        let size = self.get(size).ok_or_else(|| Error::damaged(format!("its {what} has no size")))?;
        if self.get(entry).is_some_and(|entry| entry != expected) {
            return Err(Error::damaged(format!("the entries of its {what} have an unknown size")));
        }
        if size == 0 {
            return Ok(Bytes::default());
        }
        layout.table(at, size, what)
    }

    /// An array of addresses of functions, which is in memory when the image is mapped.
    pub(super) fn functions(&self, layout: &Layout<'_>, at: i64, size: i64) -> Result<Range<u64>, Error> {
        let (Some(at), Some(size)) = (self.get(at), self.get(size)) else { return Ok(0..0) };
        if size == 0 {
            return Ok(0..0);
        }
        if !layout.segment(at, size).is_some_and(|segment| segment.rights.read()) || !at.is_multiple_of(8) {
            return Err(Error::damaged("an array of constructors or destructors lies outside of its segments"));
        }
        Ok(at..at + size / 8 * 8)
    }

    /// A function that the dynamic section names.
    pub(super) fn function(&self, layout: &Layout<'_>, tag: i64) -> Result<Option<u64>, Error> {
        let Some(at) = self.get(tag).filter(|at| *at != 0) else { return Ok(None) };
        match layout.segment(at, 1) {
            Some(segment) if segment.rights.execute() => Ok(Some(at)),
            _ => Err(Error::damaged("a constructor or destructor lies outside of its code")),
        }
    }
}

/// Programs cannot be mapped: their code may reach their own variables at fixed places.
pub(super) const PROGRAM: Error = Error::NotLoadable(
    "this is a program, not a shared object: build the plugin as a library (crate-type = [\"cdylib\"], or -shared)",
);
