//! What is read of a file.

use dynvm_image::{Facts, Functions, SymbolKind};

use crate::compile;
use crate::load::link;

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
