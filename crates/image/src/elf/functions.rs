//! Names of functions by address, for backtraces.

use object::elf;

use super::reader::Bytes;

/// The functions of a file, by their addresses relative to the image's base. Names are as in the file: mangled.
#[derive(Debug, Default)]
pub struct Functions {
    /// Address, size, where the name begins in `names`.
    functions: Vec<(u64, u64, u32)>,
    /// A copy of the file's table of names.
    names: Box<[u8]>,
}

impl Functions {
    /// Reads the symbols for debuggers (`.symtab`), or what is left of them in a stripped file, the dynamic symbols. Of a file that cannot be
    /// read, none.
    pub fn read(bytes: &[u8]) -> Functions {
        let file = Bytes(bytes);
        [elf::SHT_SYMTAB, elf::SHT_DYNSYM].into_iter().find_map(|kind| read(file, kind)).unwrap_or_default()
    }

    /// The name of the function that has an address, and the offset in it.
    pub fn find(&self, address: u64) -> Option<(&str, u64)> {
        let after = self.functions.partition_point(|(start, ..)| *start <= address);
        let (start, size, name) = *self.functions.get(after.checked_sub(1)?)?;
        let offset = address - start;
        if offset >= size.max(1) {
            return None;
        }
        Some((std::str::from_utf8(Bytes(&self.names).string(u64::from(name))?).ok()?, offset))
    }

    /// True if no function is known.
    pub fn is_empty(&self) -> bool {
        self.functions.is_empty()
    }
}

fn read(file: Bytes<'_>, wanted: u32) -> Option<Functions> {
    let (sections_at, size, count) = (file.u64(40)?, file.u16(58)?, file.u16(60)?);
    let section = |index: u32| file.range(sections_at.checked_add(u64::from(index) * 64)?, 64);
    let content = |section: Bytes<'_>| file.range(section.u64(24)?, section.u64(32)?);
    if size != 64 {
        return None;
    }
    let table = (0..u32::from(count)).filter_map(section).find(|section| section.u32(4) == Some(wanted))?;
    let names = content(section(table.u32(40)?)?)?;
    let symbols = content(table)?;
    let mut functions: Vec<(u64, u64, u32)> = (0..symbols.0.len() as u64 / 24)
        .filter_map(|index| {
            let symbol = symbols.range(index * 24, 24)?;
            let is_function = symbol.0[4] & 0xf == elf::STT_FUNC && symbol.u16(6)? != elf::SHN_UNDEF;
            is_function.then_some((symbol.u64(8)?, symbol.u64(16)?, symbol.u32(0)?))
        })
        .collect();
    functions.sort_unstable();
    (!functions.is_empty()).then(|| Functions { functions, names: names.0.into() })
}
