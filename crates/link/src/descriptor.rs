//! Writes the Rust source by which a program knows a plugin, and links it.

use std::fmt::Write as _;

use dynvm_abi::descriptor::StateModel;
use dynvm_abi::version::AbiVersion;

use crate::rewrite::{BSS, CONSTRUCTORS, DATA, DATA_INITIAL, DESTRUCTORS, Rewritten, TEXT, TLS, TLS_INITIAL};

/// What the source says of a plugin.
pub struct Descriptor<'a> {
    pub name: &'a str,
    /// The static library, without `lib` and `.a`.
    pub library: &'a str,
    /// Libraries of the system that the program has to be linked with.
    pub needed: &'a [String],
    pub digest: [u8; 32],
    pub size: usize,
    pub abi_version: AbiVersion,
    pub state_model: StateModel,
    pub slots: &'a [Rewritten],
}

impl Descriptor<'_> {
    /// The source. It names items of the crate `dynvm`.
    pub fn source(&self) -> String {
        let mut slots = String::new();
        let mut symbols = String::new();
        let mut needed = String::new();
        for library in self.needed {
            let _ = write!(needed, "    #[link(name = {library:?})]\n    unsafe extern \"C\" {{}}\n");
        }
        for slot in self.slots {
            slots += &describe(slot);
            // The block is found by its name as text: the language has no names for thread-local variables of others.
            let block = format!("{}{TLS}", slot.prefix);
            for name in slot.globals().into_iter().filter(|name| *name != block) {
                let _ = writeln!(symbols, "        safe static {name}: u8;");
            }
            for bound in bounds(slot) {
                let _ = writeln!(symbols, "        safe static {bound}: u8;");
            }
        }
        format!(
            "// Written by dynvm-link.\n\n\
             /// The plugin {name}.\n\
             #[allow(unsafe_code, reason = \"the names are those of the linked plugin\")]\n\
             pub static PLUGIN: ::dynvm::linked::Linked = {{\n    \
             #[allow(non_upper_case_globals, reason = \"the names are symbols\")]\n    \
             #[link(name = {library:?}, kind = \"static\")]\n    \
             unsafe extern \"C\" {{\n{symbols}    }}\n{needed}    \
             ::dynvm::linked::Linked {{\n        \
             name: {name:?},\n        \
             digest: {digest:?},\n        \
             size: {size},\n        \
             abi_version: ::dynvm::linked::AbiVersion::{abi_version:?},\n        \
             state_model: ::dynvm::linked::StateModel::{state_model:?},\n        \
             imports: &{imports:?},\n        \
             slots: &[\n{slots}        ],\n    \
             }}\n}};\n",
            name = self.name,
            library = self.library,
            imports = self.slots[0].imports,
            digest = self.digest,
            size = self.size,
            abi_version = self.abi_version,
            state_model = self.state_model,
        )
    }
}

/// The symbols that the program's linker puts around a slot's code.
pub fn bounds(slot: &Rewritten) -> [String; 2] {
    ["__start_", "__stop_"].map(|bound| format!("{bound}{}{TEXT}", slot.prefix))
}

fn describe(slot: &Rewritten) -> String {
    let prefix = &slot.prefix;
    let [start, stop] = bounds(slot);
    let mut exports = String::new();
    for name in &slot.exports {
        let _ = writeln!(
            exports,
            "                    ::dynvm::linked::Export {{ name: {name:?}, address: &raw const {prefix}{name} }},"
        );
    }
    let thread_locals = match slot.thread_locals {
        0 => "None".to_owned(),
        size => format!(
            "Some(::dynvm::linked::ThreadLocals {{ block: ::dynvm::__thread_local_block!(\"{prefix}{TLS}\"), initial: &raw const \
             {prefix}{TLS_INITIAL}, size: {size} }})"
        ),
    };
    let variables = |size: u64, block: &str, initial: Option<&str>| {
        let initial = initial.map_or("::core::ptr::null()".to_owned(), |name| format!("&raw const {prefix}{name}"));
        match size {
            0 => String::new(),
            _ => format!(
                "::dynvm::linked::Variables {{ block: &raw const {prefix}{block}, initial: {initial}, size: {size} }}, "
            ),
        }
    };
    let statics = variables(slot.data, DATA, Some(DATA_INITIAL)) + &variables(slot.bss, BSS, None);
    let functions = |count: u64, name: &str| match count {
        0 => "::dynvm::linked::Functions { first: ::core::ptr::dangling(), count: 0 }".to_owned(),
        _ => format!("::dynvm::linked::Functions {{ first: &raw const {prefix}{name}, count: {count} }}"),
    };
    format!(
        "            ::dynvm::linked::Slot {{\n                \
         text: ::dynvm::linked::Text {{ start: &raw const {start}, stop: &raw const {stop} }},\n                \
         exports: &[\n{exports}                ],\n                \
         thread_locals: {thread_locals},\n                \
         statics: &[{statics}],\n                \
         constructors: {},\n                \
         destructors: {},\n            }},\n",
        functions(slot.constructors, CONSTRUCTORS),
        functions(slot.destructors, DESTRUCTORS),
    )
}
