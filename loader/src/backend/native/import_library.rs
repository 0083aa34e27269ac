//! The library in which the system's loader finds the hostcalls: written at run time, opened once for the process.
//!
//! Each function is one jump through a table that the library carries, with the addresses of this loader's functions.

use object::write::elf::{FileHeader, ProgramHeader, Sym, Writer};
use object::{Endianness, elf};

/// The alignment of segments: the largest page of the supported machines.
const PAGE: usize = 0x10000;

#[cfg(target_arch = "x86_64")]
mod machine {
    pub(super) const MACHINE: u16 = object::elf::EM_X86_64;
    pub(super) const STUB: usize = 8;

    /// `jmp *entry(%rip)`, padded.
    pub(super) fn stub(at: usize, entry: usize) -> [u8; STUB] {
        let [a, b, c, d] = ((entry - (at + 6)) as u32).to_le_bytes();
        [0xff, 0x25, a, b, c, d, 0xcc, 0xcc]
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod machine {
    pub(super) const MACHINE: u16 = object::elf::EM_AARCH64;
    pub(super) const STUB: usize = 8;

    /// `ldr x16, entry; br x16`. The table is within the megabyte that the load reaches.
    pub(super) fn stub(at: usize, entry: usize) -> [u8; STUB] {
        let load = 0x5800_0010 | ((entry - at) as u32 / 4) << 5;
        let [a, b, c, d] = load.to_le_bytes();
        let [e, f, g, h] = 0xd61f_0200u32.to_le_bytes();
        [a, b, c, d, e, f, g, h]
    }
}

/// Writes a shared object that exports each function under its name.
pub(super) fn write<'a>(functions: impl Iterator<Item = (&'a str, usize)>) -> Vec<u8> {
    let functions: Vec<_> = functions.collect();
    let mut bytes = Vec::new();
    let mut writer = Writer::new(Endianness::Little, true, &mut bytes);
    let failed = "writing to memory does not fail";

    writer.reserve_file_header();
    writer.reserve_program_headers(4);
    let symbols: Vec<_> = functions
        .iter()
        .map(|(name, _)| {
            writer.reserve_dynamic_symbol_index();
            writer.add_dynamic_string(name.as_bytes())
        })
        .collect();
    let soname = writer.add_dynamic_string(b"dynvm-hostcalls");
    let hash_at = writer.reserve_hash(1, functions.len() as u32 + 1);
    let dynsym_at = writer.reserve_dynsym();
    let dynstr_at = writer.reserve_dynstr();
    let text_at = writer.reserve(functions.len() * machine::STUB, 16);
    let table_at = writer.reserve(functions.len() * size_of::<u64>(), 16);
    let text_end = writer.reserved_len();
    writer.reserve_until(text_end.next_multiple_of(PAGE));
    let dynamic_at = writer.reserve_dynamic(6);
    let dynamic_end = writer.reserved_len();

    writer
        .write_file_header(&FileHeader {
            os_abi: elf::ELFOSABI_NONE,
            abi_version: 0,
            e_type: elf::ET_DYN,
            e_machine: machine::MACHINE,
            e_entry: 0,
            e_flags: 0,
        })
        .expect(failed);
    writer.write_align_program_headers();
    let segment = |kind, flags, from: usize, to: usize, align: usize| ProgramHeader {
        p_type: kind,
        p_flags: flags,
        p_offset: from as u64,
        p_vaddr: from as u64,
        p_paddr: from as u64,
        p_filesz: (to - from) as u64,
        p_memsz: (to - from) as u64,
        p_align: align as u64,
    };
    writer.write_program_header(&segment(elf::PT_LOAD, elf::PF_R | elf::PF_X, 0, text_end, PAGE));
    writer.write_program_header(&segment(elf::PT_LOAD, elf::PF_R | elf::PF_W, dynamic_at, dynamic_end, PAGE));
    writer.write_program_header(&segment(elf::PT_DYNAMIC, elf::PF_R | elf::PF_W, dynamic_at, dynamic_end, 8));
    writer.write_program_header(&segment(elf::PT_GNU_STACK, elf::PF_R | elf::PF_W, 0, 0, 16));
    // One bucket: the library is looked in once for each import of a plugin.
    let chain_length = functions.len() as u32 + 1;
    writer.write_hash(1, chain_length, |_| Some(0));
    writer.write_null_dynamic_symbol();
    for (index, name) in symbols.iter().enumerate() {
        writer.write_dynamic_symbol(&Sym {
            name: Some(*name),
            section: None,
            st_info: elf::STB_GLOBAL << 4 | elf::STT_FUNC,
            st_other: elf::STV_DEFAULT,
            // Any that is defined: the file has no sections.
            st_shndx: 1,
            st_value: (text_at + index * machine::STUB) as u64,
            st_size: machine::STUB as u64,
        });
    }
    writer.write_dynstr();
    writer.pad_until(text_at);
    for index in 0..functions.len() {
        writer.write(&machine::stub(text_at + index * machine::STUB, table_at + index * size_of::<u64>()));
    }
    writer.pad_until(table_at);
    for (_, address) in &functions {
        writer.write(&(*address as u64).to_le_bytes());
    }
    writer.pad_until(dynamic_at);
    writer.write_dynamic_string(elf::DT_SONAME, soname).expect(failed);
    let strings_len = writer.dynstr_len();
    for (tag, value) in [
        (elf::DT_HASH, hash_at),
        (elf::DT_SYMTAB, dynsym_at),
        (elf::DT_STRTAB, dynstr_at),
        (elf::DT_STRSZ, strings_len),
        (elf::DT_NULL, 0),
    ] {
        writer.write_dynamic(tag, value as u64).expect(failed);
    }
    bytes
}
