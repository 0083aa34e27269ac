//! Access to the bytes of a file by the addresses they get in memory.

use std::ops::Range;

use object::elf;

use super::{Page, Rights, Segment};
use crate::error::Error;

/// Images end below this address, so that addresses and offsets fit 31 bits.
const LIMIT: u64 = 1 << 31;

/// The most program headers that are read. Linkers write about a dozen.
const HEADERS: usize = 128;

/// The size of a program header.
const HEADER: u64 = 56;

/// How many of a file's first bytes are mapped or describe what is, by its program headers: [`Facts::read`](super::Facts::read) and
/// [`Linker::link`](crate::Linker::link) need no more. `None` if `head`, the file's beginning, does not have the program headers.
pub fn mapped_size(head: &[u8]) -> Option<u64> {
    let file = Bytes(head);
    let (table, count) = (file.u64(32)?, u64::from(file.u16(56)?));
    let headers = file.range(table, count * HEADER)?;
    let header = |index| headers.range(index * HEADER, HEADER);
    let loaded = (0..count).filter_map(header).filter(|header| header.u32(0) == Some(elf::PT_LOAD));
    let ends = loaded.filter_map(|segment| segment.u64(8)?.checked_add(segment.u64(32)?));
    Some(ends.fold(table + count * HEADER, u64::max))
}

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
        if u64::from(size) != HEADER || count > HEADERS {
            return Err(Error::damaged("its program headers have an unknown size or number"));
        }
        let table = file.range(table_at, count as u64 * HEADER);
        let table = table.ok_or_else(|| Error::damaged("its program headers are cut off"))?;
        let mut layout = Layout { file, segments: Vec::new(), headers: Vec::new(), table: None, alignment: page.0 };
        for index in 0..count as u64 {
            layout.add(table.range(index * HEADER, HEADER).expect("in the table"), page)?;
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
        // The last one: another may end where it begins.
        let segment = self
            .segments
            .iter()
            .rfind(|segment| segment.address <= address && address - segment.address <= segment.file_size)?;
        let within = address - segment.address;
        self.file.range(segment.file_offset + within, segment.file_size - within)
    }

    /// The bytes of a table, which the file must have whole.
    pub(super) fn table(&self, address: u64, len: u64, what: &str) -> Result<Bytes<'a>, Error> {
        let table = self.from(address).and_then(|rest| rest.range(0, len));
        table.ok_or_else(|| Error::damaged(format!("its {what} lies outside of what is mapped of the file")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file with these segments: flags, offset in the file, address, size in the file, size in memory.
    fn file(segments: &[(u32, u64, u64, u64, u64)]) -> Vec<u8> {
        let mut bytes = vec![0; 0x2000];
        bytes[32..40].copy_from_slice(&64u64.to_le_bytes());
        bytes[54..56].copy_from_slice(&56u16.to_le_bytes());
        bytes[56..58].copy_from_slice(&(segments.len() as u16).to_le_bytes());
        for (index, (flags, offset, address, file_size, memory_size)) in segments.iter().enumerate() {
            let header = &mut bytes[64 + index * 56..][..56];
            header[..4].copy_from_slice(&elf::PT_LOAD.to_le_bytes());
            header[4..8].copy_from_slice(&flags.to_le_bytes());
            for (at, value) in [(8, offset), (16, address), (32, file_size), (40, memory_size), (48, &0x1000)] {
                header[at..at + 8].copy_from_slice(&value.to_le_bytes());
            }
        }
        bytes
    }

    const READ: u32 = elf::PF_R;
    const WRITE: u32 = elf::PF_R | elf::PF_W;

    #[test]
    fn segments_must_not_share_pages_of_the_system() {
        let bytes = file(&[(READ, 0, 0, 0x800, 0x800), (WRITE, 0x1000, 0x1000, 0x100, 0x200)]);
        let layout = Layout::read(&bytes, Page(0x1000)).unwrap();
        assert_eq!(layout.segments.len(), 2);
        assert_eq!(layout.alignment, 0x1000);
        let error = Layout::read(&bytes, Page(0x10000)).err().unwrap();
        assert!(matches!(error, Error::SharedPage { at: 0x1000, page: 0x10000 }), "{error}");
        let overlapping = file(&[(READ, 0, 0, 0x800, 0x800), (WRITE, 0x1000, 0x700, 1, 1)]);
        assert!(matches!(Layout::read(&overlapping, Page(0x1000)).err().unwrap(), Error::Damaged(_)));
    }

    #[test]
    fn addresses_are_looked_up_in_what_the_file_has_of_a_segment() {
        let bytes = file(&[(READ, 0, 0, 0x800, 0x800), (WRITE, 0x1000, 0x3000, 0x100, 0x1000)]);
        let layout = Layout::read(&bytes, Page(0x1000)).unwrap();
        assert_eq!(layout.table, Some(64..64 + 2 * 56));
        assert!(layout.table(0x3000, 0x100, "table").is_ok());
        assert!(layout.table(0x3000, 0x101, "table").is_err() && layout.table(0x30ff, u64::MAX, "table").is_err());
        assert!(layout.segment(0x3fff, 1).is_some() && layout.segment(0x3fff, 2).is_none());
    }

    #[test]
    fn a_segment_begins_where_the_one_before_ends() {
        let bytes = file(&[(READ, 0, 0, 0x1000, 0x1000), (WRITE, 0x1000, 0x1000, 0x100, 0x100)]);
        let layout = Layout::read(&bytes, Page(0x1000)).unwrap();
        assert!(layout.table(0x1000, 0x100, "table").is_ok());
        assert!(layout.table(0x1100, 0, "empty table").is_ok());
    }

    #[test]
    fn parts_of_the_file_are_mapped_once() {
        let twice = file(&[(READ, 0, 0, 0x2000, 0x2000), (READ, 0, 0x4000, 0x2000, 0x2000)]);
        assert!(matches!(Layout::read(&twice, Page(0x1000)).err().unwrap(), Error::Damaged(_)));
    }
}
