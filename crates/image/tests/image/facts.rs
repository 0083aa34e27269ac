//! What is read of a file.

use dynvm_image::{Facts, Functions, Image, Linker, Original, SymbolKind, mapped_size};

use crate::compile;
use crate::load::{link, nothing, runtimes};

#[needs::cc]
#[test]
fn symbols_are_read_with_their_versions() {
    let source = "#include <stdlib.h>
        int number = 5; __thread int local; int exported(void) { return getenv(\"A\") != 0; }
        __attribute__((weak)) void maybe(void); void (*pointer)(void) = maybe;
        static int hidden(void) { return 1; } int (*other)(void) = hidden;";
    let bytes = std::fs::read(compile::c(source, &["-Wl,-soname,own.so"])).unwrap();
    let facts = Facts::read(&bytes).unwrap();
    let kind = |name: &str| facts.export(name).map(|export| export.kind());
    assert_eq!(kind("exported"), Some(SymbolKind::Function));
    assert_eq!(kind("number"), Some(SymbolKind::Object));
    assert_eq!(kind("local"), Some(SymbolKind::ThreadLocal));
    assert_eq!(kind("hidden"), None);
    assert_eq!(facts.export("number").unwrap().size(), 4);
    let import = |name: &str| facts.imports().iter().find(|import| import.name() == name).unwrap();
    assert!(import("getenv").version().unwrap().starts_with("GLIBC_2."));
    assert!(import("getenv").library().unwrap().starts_with("libc.so"));
    assert!(!import("getenv").is_weak() && import("maybe").is_weak() && import("maybe").version().is_none());
    assert!(facts.does_import("getenv") && !facts.does_import("exported"));
    assert_eq!(facts.soname(), Some("own.so"));
    assert!(facts.needed().iter().any(|library| library.starts_with("libc.so")));
    assert!(facts.span().contains(&facts.export("exported").unwrap().address()));
}

#[needs::cc]
#[test]
fn functions_are_named_after_the_file_was_replaced() {
    let path = compile::c(
        "static __attribute__((noinline, used)) int inner(int a) { return a * 3; } int outer(int a) { return inner(a) + 1; }",
        &[],
    );
    let bytes = std::fs::read(&path).unwrap();
    let (linked, overwritten) = (link(&path), link(&path));
    let outer = linked.facts().export("outer").unwrap().address();
    std::fs::rename(&path, path.with_extension("old")).unwrap();
    assert_eq!(linked.functions().find(outer + 1), Some(("outer", 1)));
    assert_eq!(Functions::read(&bytes).find(outer + 1), Some(("outer", 1)));
    std::fs::write(path.with_extension("old"), b"another file").unwrap();
    assert!(overwritten.functions().is_empty());
}

#[needs::cc]
#[test]
fn the_mapped_part_of_a_file_is_enough_to_link_it() {
    let path = compile::c(
        "static __attribute__((noinline, used)) int local(void) { return 7; } int number(void) { return local(); }",
        &["-g"],
    );
    let bytes = std::fs::read(&path).unwrap();
    let size = mapped_size(&bytes[..4096]).unwrap() as usize;
    assert!(size < bytes.len(), "behind it are debug information and names");
    assert!(Facts::read(&bytes[..size - 1]).is_err());
    let original = Original::new(std::fs::File::open(&path).unwrap()).unwrap();
    std::fs::remove_file(&path).unwrap();
    let linker = Linker::new(&nothing).runtimes(runtimes()).path(&path).original(&original);
    // SAFETY: the facts are of these bytes, and nothing is bound.
    let linked = unsafe { linker.link(Facts::read(&bytes[..size]).unwrap(), &bytes[..size]).unwrap() };
    let number = linked.facts().export("number").unwrap().address();
    let local = (0..size as u64).find(|at| linked.functions().find(*at) == Some(("local", 0)));
    assert!(local.is_some(), "names come from the rest of the file");
    let image = Image::map(&linked).unwrap();
    // SAFETY: a function of the image that takes nothing.
    let function: extern "C" fn() -> i32 = unsafe { std::mem::transmute(image.address(number)) };
    assert_eq!(function(), 7);
    assert!(mapped_size(&bytes[..100]).is_none());
}
