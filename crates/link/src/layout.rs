//! Which variables have to stand side by side: each kind becomes one section, which no linker takes apart.

/// The linker script for joining.
///
/// `statics`: also join the statics, so that they can be set back to their initial values. Otherwise they stay apart, and the
/// program's linker removes those that nobody uses.
pub fn script(statics: bool) -> String {
    let mut sections = vec![
        // Rust's standard library brings its code as bitcode too, and tools take the object for one of another compiler. Lists of
        // symbols whose address matters would have to follow the symbols.
        "  /DISCARD/ : { *(.llvmbc) *(.llvmcmd) *(.llvm_addrsig) }".to_owned(),
        // Initialized and zeroed variables form one block.
        "  .tdata : { *(.tdata .tdata.*) *(.tbss .tbss.*) }".to_owned(),
    ];
    for name in [".init_array", ".fini_array"] {
        sections.push(format!("  {name} : {{ *(SORT_BY_INIT_PRIORITY({name}.*)) *({name}) }}"));
    }
    if statics {
        sections.push(format!("  .data : {{ *(.data {}) }}", data_but_constants().join(" ")));
        sections.push("  .bss : { *(.bss .bss.*) }".to_owned());
    }
    format!("SECTIONS {{\n{}\n}}\n", sections.join("\n"))
}

/// Patterns for `.data.*` without `.data.rel.ro*`, which is constant once it is relocated.
fn data_but_constants() -> Vec<String> {
    const CONSTANT: &str = "rel.ro";
    let mut patterns = Vec::new();
    for (length, letter) in CONSTANT.char_indices() {
        // Names that agree up to here and end, or differ in this letter.
        let begin = &CONSTANT[..length];
        patterns.extend([format!(".data.{begin}"), format!(".data.{begin}[!{letter}]*")]);
    }
    patterns
}

/// Whether a section holds statics that the script joins. Common symbols are refused by themselves.
pub fn holds_statics(section: &str) -> bool {
    let is = |name: &str| section.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    (is(".data") && !section.starts_with(".data.rel.ro")) || is(".bss") || section == "COMMON"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_are_no_statics() {
        for name in [".data", ".data.x", ".data.rel", ".data.rel.local", ".bss", ".bss.x", "COMMON"] {
            assert!(holds_statics(name), "{name}");
        }
        for name in [".data.rel.ro", ".data.rel.ro.x", ".database", ".rodata", ".tdata"] {
            assert!(!holds_statics(name), "{name}");
        }
    }
}
