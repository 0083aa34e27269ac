//! Files that are refused, each with the fact and the remedy.

use dynvm_image::{Error, Facts};

use crate::compile;
use crate::load::try_link;

fn refusal(path: &std::path::Path) -> Error {
    let bytes = std::fs::read(path).unwrap();
    Facts::read(&bytes).expect_err("refused")
}

/// Changes a number in the file's header or in the program header of a type.
fn patched(kind: u32, offset: usize, value: &[u8]) -> Error {
    let mut bytes = std::fs::read(compile::c("static int a = 1; int *one(void) { return &a; }", &[])).unwrap();
    let long = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize;
    let (table, count) = (long(32), usize::from(bytes[56]));
    let at = (0..count).map(|index| table + index * 56).find(|at| bytes[*at..*at + 4] == kind.to_le_bytes());
    let at = if kind == 0 { offset } else { at.unwrap() + offset };
    bytes[at..at + value.len()].copy_from_slice(value);
    Facts::read(&bytes).expect_err("refused")
}

const LOAD: u32 = 1;
const GNU_STACK: u32 = 0x6474_e551;

#[needs::cc]
#[test]
fn code_that_is_changed_when_loaded_is_refused() {
    let assembler =
        "__asm__(\".text\\n.globl entry\\nentry: .quad target\\n.data\\n.globl target\\ntarget: .quad 0\\n\");";
    let error = refusal(&compile::c(assembler, &["-Wl,-z,notext"]));
    assert!(matches!(error, Error::TextRelocations), "{error}");
    assert!(error.to_string().contains("-fPIC"), "{error}");
}

#[needs::cc]
#[test]
fn programs_are_refused() {
    for arguments in [&["-pie"][..], &["-pie", "-Wl,--no-dynamic-linker"], &["-no-pie"]] {
        let path = compile::program("int main(void) { return 0; }", arguments);
        let error = refusal(&path);
        assert!(error.to_string().contains("this is a program, not a shared object"), "{arguments:?}: {error}");
    }
}

#[needs::cc]
#[test]
fn filters_are_refused() {
    for option in ["-Wl,--filter=libc.so.6", "-Wl,--auxiliary=libc.so.6"] {
        let error = refusal(&compile::c("int one(void) { return 1; }", &[option]));
        assert!(matches!(error, Error::Filter), "{error}");
    }
}

#[needs::cc]
#[test]
fn executable_data_and_stacks_are_refused() {
    const READ_WRITE_EXECUTE: [u8; 4] = 7u32.to_le_bytes();
    let error = refusal(&compile::c("int one(void) { return 1; }", &["-Wl,-z,execstack"]));
    assert!(matches!(error, Error::ExecutableStack), "{error}");
    let error = patched(GNU_STACK, 4, &READ_WRITE_EXECUTE);
    assert!(matches!(error, Error::ExecutableStack), "{error}");
    let error = patched(LOAD, 4, &READ_WRITE_EXECUTE);
    assert!(matches!(error, Error::WritableCode { .. }), "{error}");
}

#[needs::cc]
#[test]
fn thread_local_variables_of_others_are_refused() {
    let source = "extern __thread int theirs; int get(void) { return theirs; }";
    let error = refusal(&compile::c(source, &[]));
    assert!(matches!(&error, Error::ForeignThreadLocal { symbol } if symbol == "theirs"), "{error}");
}

#[needs::cc]
#[test]
fn initial_exec_variables_and_threads_are_refused() {
    let source = "#include <pthread.h>\n__thread int own; void *work(void *_) { own = 1; return 0; }
        int start(void) { pthread_t thread; return pthread_create(&thread, 0, work, 0); }";
    let error = refusal(&compile::c(source, &["-ftls-model=initial-exec"]));
    assert!(matches!(&error, Error::StaticTlsWithThreads { function } if function == "pthread_create"), "{error}");
}

#[needs::cc]
#[test]
fn files_of_other_kinds_are_refused() {
    for (at, value, text) in [
        (0, &b"PK"[..], "this is not an ELF file"),
        (4, &[1], "32-bit"),
        (5, &[2], "big endian"),
        (16, &[1], "object file"),
        (16, &[2], "a program"),
        (16, &[4], "core dump"),
        (16, &[9], "unknown type"),
        (18, &[8, 0], "machine number 8"),
    ] {
        let error = patched(0, at, value).to_string();
        assert!(error.contains(text) && (error.contains(": ") || error.contains("; ")), "{error}");
    }
}

#[needs::cc]
#[test]
fn images_of_impossible_layout_are_refused() {
    const OFFSET: usize = 8;
    const ADDRESS: usize = 16;
    const MEMORY_SIZE: usize = 40;
    const ALIGN: usize = 48;
    let far = patched(LOAD, ADDRESS, &(1u64 << 40).to_le_bytes());
    assert!(matches!(far, Error::TooLarge { .. }), "{far}");
    for (offset, value) in [(OFFSET, u64::MAX - 5), (MEMORY_SIZE, u64::MAX - 5), (MEMORY_SIZE, 1 << 24), (ALIGN, 3)] {
        let error = patched(LOAD, offset, &value.to_le_bytes());
        assert!(matches!(error, Error::Damaged(_) | Error::TooLarge { .. }), "{error}");
    }
}

#[needs::cc]
#[test]
fn relocations_that_are_not_supported_are_refused() {
    let mut bytes = std::fs::read(compile::c("int a; int *one(void) { return &a; }", &[])).unwrap();
    // Two entries in a row that add the base: each an address, a type, and what is added.
    let relative: u64 = if cfg!(target_arch = "x86_64") { 8 } else { 1027 };
    let is_relative = |at: usize| bytes[at..at + 8] == relative.to_le_bytes();
    let at = (0..bytes.len() - 32).step_by(8).find(|at| is_relative(*at) && is_relative(at + 24)).unwrap();
    bytes[at..at + 8].copy_from_slice(&5u64.to_le_bytes());
    let error = Facts::read(&bytes).expect_err("refused");
    assert!(matches!(error, Error::Relocation { kind: 5, .. }), "{error}");
}

#[needs::cc]
#[test]
fn a_file_that_is_gone_is_an_error() {
    let path = compile::c("int one(void) { return 1; }", &[]);
    let bytes = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let facts = Facts::read(&bytes).unwrap();
    // SAFETY: a file that the test has compiled.
    let linked = unsafe { dynvm_image::Linker::new(&crate::load::nothing).path(&path).link(facts, &bytes) };
    let error = linked.unwrap_err();
    assert!(matches!(error, Error::System { .. }) && std::error::Error::source(&error).is_some(), "{error}");
    assert!(try_link(&compile::c("int one(void) { return 1; }", &[])).is_ok());
}
