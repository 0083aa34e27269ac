//! Writes the header by which a program in C or C++ knows a plugin: the same as [`descriptor`](crate::descriptor) in Rust.

use std::fmt::Write as _;

use dynvm_abi::version::AbiVersion;

use crate::descriptor::{Descriptor, bounds};
use crate::rewrite::{BSS, CONSTRUCTORS, DATA, DATA_INITIAL, DESTRUCTORS, Rewritten, TLS, TLS_INITIAL};

impl Descriptor<'_> {
    /// The header. It needs `dynvm/loader/linked.h`.
    pub fn header(&self) -> String {
        let identifier = self.library;
        let guard = format!("{}_H", identifier.to_ascii_uppercase());
        let slots: String = self.slots.iter().map(define).collect();
        let rows: String = self.slots.iter().map(describe).collect();
        let imports: String = self.slots[0].imports.iter().map(|name| format!("  \"{name}\",\n")).collect();
        let digest = self.digest.map(|byte| format!("0x{byte:02x}")).join(", ");
        let abi_version = match self.abi_version {
            AbiVersion::V0_1_0 => "DYNVM_ABI_0_1_0",
            AbiVersion::V0_2_0 => "DYNVM_ABI_0_2_0",
            _ => "DYNVM_ABI_0_2_1",
        };
        format!(
            "// Written by dynvm-link: the plugin {name}, for one source file of the program.\n\n\
             #ifndef {guard}\n#define {guard}\n\n#include <dynvm/loader/linked.h>\n\n\
             #ifdef __cplusplus\nextern \"C\" {{\n#endif\n\n\
             {slots}\
             static const dynvm_linked_slot_t {identifier}_slots[] = {{\n{rows}}};\n\n\
             static const char *const {identifier}_imports[] = {{\n{imports}  0,\n}};\n\n\
             static const dynvm_linked_t {identifier} = {{\n  \
             sizeof(dynvm_linked_t),\n  \"{name}\",\n  {{{digest}}},\n  {size},\n  {abi_version},\n  {state_model},\n  \
             {identifier}_imports,\n  {import_count},\n  {identifier}_slots,\n  {slot_count},\n}};\n\n\
             #ifdef __cplusplus\n}}\n#endif\n\n#endif // {guard}\n",
            name = self.name,
            size = self.size,
            state_model = self.state_model as u32,
            import_count = self.slots[0].imports.len(),
            slot_count = self.slots.len(),
        )
    }
}

/// Declares the symbols of a slot, and defines its lists.
fn define(slot: &Rewritten) -> String {
    let prefix = &slot.prefix;
    let block = format!("{prefix}{TLS}");
    let mut text = String::new();
    for name in slot.globals().into_iter().filter(|name| *name != block).chain(bounds(slot)) {
        let _ = writeln!(text, "extern const char {name}[];");
    }
    if slot.thread_locals > 0 {
        let _ = writeln!(text, "extern __thread char {block}[];");
        let _ = writeln!(text, "static void *{prefix}thread_locals(void) {{ return {block}; }}");
    }
    let _ = writeln!(text, "static const dynvm_linked_export_t {prefix}exports[] = {{");
    for name in &slot.exports {
        let _ = writeln!(text, "  {{\"{name}\", {prefix}{name}}},");
    }
    let _ = writeln!(text, "}};\nstatic const dynvm_linked_variables_t {prefix}statics[] = {{");
    for (size, block, initial) in statics(slot) {
        let initial = initial.map_or("0".to_owned(), |name| format!("{prefix}{name}"));
        let _ = writeln!(text, "  {{{prefix}{block}, {initial}, {size}}},");
    }
    // Without any, C would have an array without elements.
    let _ = writeln!(text, "  {{0, 0, 0}},\n}};\n");
    text
}

fn statics(slot: &Rewritten) -> impl Iterator<Item = (u64, &'static str, Option<&'static str>)> {
    let all = [(slot.data, DATA, Some(DATA_INITIAL)), (slot.bss, BSS, None)];
    all.into_iter().filter(|(size, ..)| *size > 0)
}

/// The slot as an element of an array.
fn describe(slot: &Rewritten) -> String {
    let prefix = &slot.prefix;
    let [start, stop] = bounds(slot);
    let thread_locals = match slot.thread_locals {
        0 => "0, 0, 0".to_owned(),
        size => format!("{prefix}thread_locals, {prefix}{TLS_INITIAL}, {size}"),
    };
    let functions = |count: u64, name: &str| match count {
        0 => "0, 0".to_owned(),
        _ => format!("{prefix}{name}, {count}"),
    };
    format!(
        "  {{{start}, {stop},\n   {prefix}exports, {}, {prefix}statics, {},\n   {thread_locals},\n   {}, {}}},\n",
        slot.exports.len(),
        statics(slot).count(),
        functions(slot.constructors, CONSTRUCTORS),
        functions(slot.destructors, DESTRUCTORS),
    )
}
