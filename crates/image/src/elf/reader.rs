//! Access to the bytes of a file by the addresses they get in memory.

use std::ops::Range;

use object::elf;

use super::{Page, Rights, Segment};
use crate::error::Error;

/// Images end below this address, so that addresses and offsets fit 31 bits.
const LIMIT: u64 = 1 << 31;

/// The most program headers that are read. Linkers write about a dozen.
const HEADERS: usize = 128;

/// A run of little-endian numbers, at any alignment.
#[derive(Clone, Copy, Default)]
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl<'a> Bytes<'a> {
    fn array<const N: usize>(self, at: u64) -> Option<[u8; N]> {
        self.range(at, N as u64)?.0.try_into().ok()
    }

    pub(super) fn u16(self, at: u64) -> Option<u16> {
        self.array(at).map(u16::from_le_bytes)
    }

    pub(super) fn u32(self, at: u64) -> Option<u32> {
        self.array(at).map(u32::from_le_bytes)
    }

    pub(super) fn u64(self, at: u64) -> Option<u64> {
        self.array(at).map(u64::from_le_bytes)
    }

    pub(super) fn range(self, at: u64, len: u64) -> Option<Bytes<'a>> {
        let at = usize::try_from(at).ok()?;
        let len = usize::try_from(len).ok()?;
        self.0.get(at..at.checked_add(len)?).map(Bytes)
    }

    /// The string that begins here, up to its zero.
    pub(super) fn string(self, at: u64) -> Option<&'a [u8]> {
        let rest = self.0.get(usize::try_from(at).ok()?..)?;
        rest.iter().position(|byte| *byte == 0).map(|end| &rest[..end])
    }

    pub(super) fn text(self, at: u64) -> Option<String> {
        self.string(at).map(|name| String::from_utf8_lossy(name).into_owned())
    }
}

/// The program headers, and the file seen through the segments that they map.
pub(super) struct Layout<'a> {
    pub(super) file: Bytes<'a>,
    pub(super) segments: Vec<Segment>,
    /// All headers in their order, by type.
    pub(super) headers: Vec<(u32, Segment)>,
    /// The whole table, in memory, if a segment has it.
    pub(super) table: Option<Range<u64>>,
    pub(super) alignment: u64,
}

impl<'a> Layout<'a> {
    pub(super) fn read(bytes: &'a [u8], page: Page) -> Result<Layout<'a>, Error> {
        let file = Bytes(bytes);
        let header = |at| file.u64(at).ok_or_else(|| Error::damaged("its header is cut off"));
        let short = |at| file.u16(at).ok_or_else(|| Error::damaged("its header is cut off"));
        let (table_at, size, count) = (header(32)?, short(54)?, usize::from(short(56)?));
        const SIZE: u16 = 56;
        if size != SIZE || count > HEADERS {
            return Err(Error::damaged("its program headers have an unknown size or number"));
        }
        let table = file.range(table_at, count as u64 * u64::from(SIZE));
        let table = table.ok_or_else(|| Error::damaged("its program headers are cut off"))?;
        let mut layout = Layout { file, segments: Vec::new(), headers: Vec::new(), table: None, alignment: page.0 };
        for index in 0..count as u64 {
            layout.add(table.range(index * 56, 56).expect("in the table"), page)?;
        }
        if layout.segments.is_empty() {
            return Err(Error::damaged("it has no loadable segment"));
        }
        let total: u64 = layout.segments.iter().map(|segment| segment.file_size).sum();
        if total > bytes.len() as u64 {
            return Err(Error::damaged("its segments overlap in the file"));
        }
        layout.table = layout.segments.iter().find_map(|segment| {
            let within = table_at.checked_sub(segment.file_offset)?;
            let end = within + table.0.len() as u64;
            (end <= segment.file_size).then(|| segment.address + within..segment.address + end)
        });
        Ok(layout)
    }

    fn add(&mut self, header: Bytes<'_>, page: Page) -> Result<(), Error> {
        let long = |at| header.u64(at).expect("a header has 56 bytes");
        let short = |at| header.u32(at).expect("a header has 56 bytes");
        let kind = short(0);
        let segment = Segment {
            rights: Rights(short(4)),
            file_offset: long(8),
            address: long(16),
            file_size: long(32),
            memory_size: long(40),
            align: long(48).max(1),
        };
        self.headers.push((kind, segment));
        // Besides segments, only the block of thread-local variables is aligned.
        if matches!(kind, elf::PT_LOAD | elf::PT_TLS) {
            self.align(segment.align)?;
        }
        if kind != elf::PT_LOAD {
            return Ok(());
        }
        let Segment { address, file_offset, file_size, memory_size, rights, .. } = segment;
        let end = address.checked_add(memory_size).ok_or_else(|| Error::damaged("a segment wraps around"))?;
        if memory_size == 0 {
            return Ok(());
        }
        if file_size > memory_size || self.file.range(file_offset, file_size).is_none() {
            return Err(Error::damaged("a segment lies beyond the end of the file"));
        }
        if end > LIMIT {
            return Err(Error::TooLarge { size: end });
        }
        if rights.write() && rights.execute() {
            return Err(Error::WritableCode { at: address });
        }
        if let Some(before) = self.segments.last() {
            if address < before.end() {
                return Err(Error::damaged("its segments overlap"));
            }
            if page.floor(address) < page.ceil(before.end()) {
                return Err(Error::SharedPage { at: address, page: page.0 });
            }
        }
        self.segments.push(segment);
        Ok(())
    }

    fn align(&mut self, align: u64) -> Result<(), Error> {
        if !align.is_power_of_two() || align > LIMIT / 2 {
            return Err(Error::damaged(format!("a segment has the alignment {align:#x}")));
        }
        self.alignment = self.alignment.max(align);
        Ok(())
    }

    /// The segment that has all of a range in memory.
    pub(super) fn segment(&self, address: u64, len: u64) -> Option<&Segment> {
        let end = address.checked_add(len)?;
        self.segments.iter().find(|segment| segment.address <= address && end <= segment.end())
    }

    /// The bytes of the file that are mapped at an address, up to the end of what their segment has in the file.
    pub(super) fn from(&self, address: u64) -> Option<Bytes<'a>> {
        let segment = self
            .segments
            .iter()
            .find(|segment| segment.address <= address && address - segment.address <= segment.file_size)?;
        let within = address - segment.address;
        self.file.range(segment.file_offset + within, segment.file_size - within)
    }

    /// The bytes of a table, which the file must have whole.
    pub(super) fn table(&self, address: u64, len: u64, what: &str) -> Result<Bytes<'a>, Error> {
        let table = self.from(address).and_then(|rest| rest.range(0, len));
        table.ok_or_else(|| Error::damaged(format!("its {what} lies outside of what is mapped of the file")))
    }
}
