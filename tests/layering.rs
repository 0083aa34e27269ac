//! The order of the loader's modules: each imports only modules below it, so that they can be read from the bottom up.
//!
//! The sources are read as text, and a path is followed through re-exports to the file that defines the item. The check
//! does not see, so that a deliberate import can evade it: paths that macros build; methods and types reached through a
//! value and never named; names imported by `use path::*`, which counts as an import of that module only; and code
//! below `#[cfg(test)]`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// From the bottom up. A file belongs to the longest entry that is a prefix of its path. Modules of one line do not
/// import each other.
const LAYERS: &[&[&str]] = &[
    &["limitation", "pin"],
    &["access", "artifact", "fork", "id", "bundle", "trust/verdict"],
    &["config", "error"],
    &["observe", "trust"],
    &["telemetry", "host"],
    &["header_pairs"],
    &["call_trace"],
    &["instance"],
    &["hostcalls"],
    &["backend"],
    &["backend/native", "backend/wasm"],
    &["module"],
    &["vm", "image", "inspect"],
    &["plugin"],
];

/// Allowed imports upwards or to a neighbor: importer, imported module, reason.
const ALLOWED: &[(&str, &str, &str)] = &[];

/// Folders whose files may import each other in a ring, with the reason.
const RINGS_ALLOWED: &[(&str, &str)] = &[(
    "backend/native",
    "what takes the place of the C library reaches the running instance, which is set up from it",
)];

/// Crates that only one backend may name.
const CRATES: &[(&str, &str)] = &[("wasmtime", "backend/wasm"), ("libloading", "backend/native")];

/// Prefix of paths that do not start in this crate.
const OTHER: &str = "::";

/// A module, as the names on its path from the crate root.
type Module = Vec<String>;

/// The parsed contents of one file.
#[derive(Debug, Default)]
struct Source {
    /// Paths in the code, from the crate root; the first name may be another crate.
    paths: Vec<Module>,
    /// Names that the module re-exports, with their targets.
    reexports: BTreeMap<String, Module>,
    /// Modules that are re-exported with all their names.
    globs: Vec<Module>,
}

/// The sources of a crate, by module.
#[derive(Debug, Default)]
struct Sources(BTreeMap<Module, Source>);

/// The tokens of a text, without comments, literals and test-only code.
fn tokens(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let starts = |at: usize, mark: &str| mark.chars().enumerate().all(|(n, c)| chars.get(at + n) == Some(&c));
    let mut tokens: Vec<String> = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        let c = chars[at];
        if starts(at, "//") {
            at += chars[at..].iter().take_while(|c| **c != '\n').count();
        } else if starts(at, "/*") {
            at += 2;
            while at < chars.len() && !starts(at, "*/") {
                at += 1;
            }
            at += 2;
        } else if c == '"' {
            at += 1;
            while at < chars.len() && chars[at] != '"' {
                at += if chars[at] == '\\' { 2 } else { 1 };
            }
            at += 1;
        } else if c == '\'' {
            // A character literal, or a lifetime.
            let escaped = chars.get(at + 1) == Some(&'\\');
            if escaped {
                at += 3 + chars[at + 3..].iter().take_while(|c| **c != '\'').count() + 1;
            } else {
                at += if chars.get(at + 2) == Some(&'\'') { 3 } else { 1 };
            }
        } else if c.is_alphabetic() || c == '_' {
            let word: String = chars[at..].iter().take_while(|c| c.is_alphanumeric() || **c == '_').collect();
            at += word.chars().count();
            let hashes = chars[at..].iter().take_while(|c| **c == '#').count();
            if matches!(&*word, "r" | "br") && chars.get(at + hashes) == Some(&'"') {
                let end = format!("\"{}", "#".repeat(hashes));
                at += hashes + 1;
                while at < chars.len() && !starts(at, &end) {
                    at += 1;
                }
                at += end.len();
            } else {
                tokens.push(word);
            }
        } else if starts(at, "::") {
            tokens.push("::".to_owned());
            at += 2;
        } else {
            if !c.is_whitespace() {
                tokens.push(c.to_string());
            }
            at += 1;
        }
    }
    without_tests(&tokens)
}

/// Skips the item after `#[cfg(test)]`: up to its `;`, or to the end of its braces.
fn without_tests(tokens: &[String]) -> Vec<String> {
    const TEST: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if !tokens[at..].iter().take(TEST.len()).eq(TEST) {
            kept.push(tokens[at].clone());
            at += 1;
            continue;
        }
        let mut depth = 0;
        while at < tokens.len() {
            let token = tokens[at].as_str();
            at += 1;
            match token {
                "{" => depth += 1,
                "}" if depth == 1 => break,
                "}" => depth -= 1,
                ";" if depth == 0 => break,
                _ => {}
            }
        }
    }
    kept
}

/// The paths of a `use` at a position, each with the name it introduces, and the position after them.
fn use_tree(tokens: &[String], mut at: usize, before: &[String]) -> (Vec<(Module, String)>, usize) {
    let mut path = before.to_vec();
    let mut found = Vec::new();
    loop {
        match tokens.get(at).map(String::as_str) {
            Some("::") => at += 1,
            Some("{") => {
                at += 1;
                while tokens.get(at).is_some_and(|token| token != "}") {
                    let (inner, next) = use_tree(tokens, at, &path);
                    found.extend(inner);
                    at = next + usize::from(tokens.get(next).is_some_and(|token| token == ","));
                }
                return (found, at + 1);
            }
            Some("as") => {
                found.push((path, tokens[at + 1].clone()));
                return (found, at + 2);
            }
            Some(word) if word == "*" || word.starts_with(|c: char| c.is_alphabetic() || c == '_') => {
                path.push(word.to_owned());
                at += 1;
            }
            _ => {
                if path.len() > 1 && path.last().is_some_and(|name| name == "self") {
                    path.pop();
                }
                let name = path.last().cloned().unwrap_or_default();
                found.push((path, name));
                return (found, at);
            }
        }
    }
}

impl Source {
    /// Reads the file of a module.
    fn read(module: &Module, text: &str) -> Source {
        let tokens = tokens(text);
        let mut source = Source::default();
        // Inline modules of the file, each with the depth of its braces.
        let mut inner: Vec<(String, usize)> = Vec::new();
        let mut children = BTreeSet::new();
        for pair in tokens.windows(3) {
            if pair[0] == "mod" && pair[2] == ";" {
                children.insert(pair[1].clone());
            }
        }
        let (mut depth, mut at) = (0, 0);
        while at < tokens.len() {
            let here: Module = module.iter().chain(inner.iter().map(|(name, _)| name)).cloned().collect();
            let absolute = |path: &[String]| -> Module {
                let mut from = match path.first().map(String::as_str) {
                    Some("crate") => Vec::new(),
                    Some("self" | "super") => here.clone(),
                    Some(child) if children.contains(child) => module.clone(),
                    // Another crate, or a name that was imported.
                    _ => vec![OTHER.to_owned()],
                };
                for name in path {
                    match name.as_str() {
                        "crate" | "self" => {}
                        "super" => drop(from.pop()),
                        name => from.push(name.to_owned()),
                    }
                }
                from
            };
            match tokens[at].as_str() {
                "{" => depth += 1,
                "}" => {
                    depth -= 1;
                    if inner.last().is_some_and(|(_, opened)| *opened == depth) {
                        inner.pop();
                    }
                }
                "mod" if tokens.get(at + 2).is_some_and(|token| token == "{") => {
                    inner.push((tokens[at + 1].clone(), depth));
                }
                "use" => {
                    let is_public = at > 0 && matches!(tokens[at - 1].as_str(), "pub" | ")");
                    let (paths, next) = use_tree(&tokens, at + 1, &[]);
                    for (path, name) in paths {
                        let mut path = absolute(&path);
                        let glob = path.last().is_some_and(|name| name == "*");
                        if glob {
                            path.pop();
                        }
                        match (is_public && inner.is_empty(), glob) {
                            (true, true) => source.globs.push(path),
                            (true, false) => drop(source.reexports.insert(name, path)),
                            (false, _) => source.paths.push(path),
                        }
                    }
                    at = next;
                    continue;
                }
                word if tokens.get(at + 1).is_some_and(|token| token == "::")
                    && (at == 0 || tokens[at - 1] != "::")
                    && word.starts_with(char::is_alphabetic) =>
                {
                    let mut path = vec![word.to_owned()];
                    while tokens.get(at + 1).is_some_and(|token| token == "::")
                        && tokens.get(at + 2).is_some_and(|token| token.starts_with(|c: char| c.is_alphabetic()))
                    {
                        path.push(tokens[at + 2].clone());
                        at += 2;
                    }
                    source.paths.push(absolute(&path));
                }
                _ => {}
            }
            at += 1;
        }
        source
    }
}

impl Sources {
    /// Reads all files below a folder.
    fn read(root: &Path) -> Sources {
        let mut sources = Sources::default();
        let mut folders = vec![root.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let relative = path.strip_prefix(root).unwrap().with_extension("");
                    sources.add(relative.to_str().unwrap(), &std::fs::read_to_string(&path).unwrap());
                }
            }
        }
        sources
    }

    /// Adds a file by its path, without `.rs`.
    fn add(&mut self, path: &str, text: &str) {
        let path = path.strip_suffix("/mod").unwrap_or(path);
        let module: Module = if path == "lib" { vec![] } else { path.split('/').map(str::to_owned).collect() };
        let source = Source::read(&module, text);
        self.0.insert(module, source);
    }

    /// The module that defines the item of a path, if it is one of these files.
    fn definer(&self, path: &[String]) -> Option<&Module> {
        if path.first().is_some_and(|name| name == OTHER) {
            return None;
        }
        let (module, source) = (0..=path.len()).rev().find_map(|len| self.0.get_key_value(&path[..len]))?;
        let Some(name) = path.get(module.len()) else { return Some(module) };
        if let Some(target) = source.reexports.get(name) {
            return self.definer(target).or(Some(module));
        }
        Some(module)
    }

    /// The imports among these files.
    fn imports(&self) -> BTreeMap<&Module, BTreeSet<&Module>> {
        let mut imports = BTreeMap::new();
        for (module, source) in &self.0 {
            // The crate root only re-exports.
            if module.is_empty() {
                continue;
            }
            // A folder does not use the items that it re-exports from its own files.
            let passed_on = source.reexports.values().chain(&source.globs);
            let passed_on =
                passed_on.filter_map(|path| self.definer(path)).filter(|target| !target.starts_with(module));
            let named = source.paths.iter().filter_map(|path| self.definer(path));
            let targets = named.chain(passed_on).filter(|target| *target != module && !target.is_empty()).collect();
            imports.insert(module, targets);
        }
        imports
    }
}

fn name(module: &Module) -> String {
    module.join("/")
}

/// The entry of [`LAYERS`] of a module, and its height.
fn layer(module: &Module) -> Option<(usize, &'static str)> {
    let path = name(module);
    let is_in = |entry: &str| path.strip_prefix(entry).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let entries = LAYERS.iter().enumerate().flat_map(|(height, layer)| layer.iter().map(move |entry| (height, *entry)));
    entries.filter(|(_, entry)| is_in(entry)).max_by_key(|(_, entry)| entry.len())
}

/// Imports that do not go down, as `importer -> imported`.
fn upward(sources: &Sources) -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    for (module, targets) in sources.imports() {
        let (height, entry) = layer(module).unwrap_or_else(|| panic!("{} has no place in LAYERS", name(module)));
        for target in targets {
            let (target_height, target_entry) = layer(target).unwrap_or_else(|| panic!("{}: no layer", name(target)));
            if entry != target_entry && target_height >= height {
                found.insert((name(module), name(target)));
            }
        }
    }
    found
}

/// Rings: sets of files in which each imports all others, directly or not.
fn rings(sources: &Sources) -> Vec<BTreeSet<String>> {
    let imports = sources.imports();
    let reached = |from: &Module| {
        let mut seen: BTreeSet<&Module> = BTreeSet::new();
        let mut open: Vec<&Module> = imports[from].iter().copied().collect();
        while let Some(module) = open.pop() {
            if seen.insert(module) {
                open.extend(imports[module].iter());
            }
        }
        seen
    };
    let reach: BTreeMap<&Module, BTreeSet<&Module>> = imports.keys().map(|module| (*module, reached(module))).collect();
    let mut rings: Vec<BTreeSet<String>> = Vec::new();
    for (module, others) in &reach {
        let ring: BTreeSet<String> =
            others.iter().filter(|other| reach[**other].contains(*module)).map(|module| name(module)).collect();
        if !ring.is_empty() && !rings.contains(&ring) {
            rings.push(ring);
        }
    }
    rings
}

/// Files outside the allowed folder that name a crate.
fn strangers(sources: &Sources) -> BTreeSet<(String, &'static str)> {
    let mut found = BTreeSet::new();
    for (module, source) in &sources.0 {
        for (other, folder) in CRATES {
            let names = source.paths.iter().chain(source.reexports.values()).chain(&source.globs);
            let is_named = names.into_iter().any(|path| path.len() > 1 && path[0] == OTHER && path[1] == *other);
            if is_named && layer(module).is_none_or(|(_, entry)| entry != *folder) {
                found.insert((name(module), *other));
            }
        }
    }
    found
}

fn loader() -> Sources {
    Sources::read(&PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../loader/src"))
}

#[test]
fn imports_go_down() {
    let found = upward(&loader());
    let allowed: BTreeSet<(String, String)> =
        ALLOWED.iter().map(|(who, whence, _)| (who.to_string(), whence.to_string())).collect();
    let new: Vec<_> = found.difference(&allowed).collect();
    assert!(new.is_empty(), "these imports go up; move what they need down, or say in ALLOWED why not: {new:#?}");
    let needless: Vec<_> = allowed.difference(&found).collect();
    assert!(needless.is_empty(), "these are in ALLOWED and not in the code: {needless:#?}");
}

#[test]
fn files_do_not_import_each_other_in_rings() {
    let mut used = BTreeSet::new();
    for ring in rings(&loader()) {
        let is_inside = |folder: &str| {
            ring.iter()
                .all(|file| file.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
        };
        let allowed = RINGS_ALLOWED.iter().find(|(folder, _)| is_inside(folder));
        let (folder, _) = allowed.unwrap_or_else(|| panic!("these files import each other: {ring:#?}"));
        used.insert(*folder);
    }
    let needless: Vec<_> = RINGS_ALLOWED.iter().filter(|(folder, _)| !used.contains(folder)).collect();
    assert!(needless.is_empty(), "there is no ring in these folders any more: {needless:#?}");
}

#[test]
fn each_engine_is_named_by_its_backend_alone() {
    assert_eq!(strangers(&loader()), BTreeSet::new());
}

/// The modules of the loader that the test files below refer to.
fn planted(path: &str, text: &str) -> Sources {
    let mut sources = Sources::default();
    sources.add("lib", "mod host; mod hostcalls; mod vm; pub use vm::Vm; pub use host::{Log, log as logging};");
    sources.add("vm/mod", "mod call; pub use call::Vm; use crate::host::Log;");
    sources.add("vm/call", "use crate::hostcalls::send; pub struct Vm;");
    sources.add("hostcalls/mod", "pub fn send() {}");
    sources.add("host/mod", "mod log; pub use log::Log;");
    sources.add("host/log", "pub trait Log {}");
    sources.add(path, text);
    sources
}

#[test]
fn planted_upward_imports_are_found() {
    for (text, from) in [
        ("use crate::vm::Vm;", "vm/call"),
        ("use crate::{host::Log, vm::{self, Vm as Machine}};", "vm"),
        ("use crate::Vm;", "vm/call"),
        ("pub use crate::Vm as Machine;", "vm/call"),
        ("use super::super::vm::Vm;", "vm/call"),
        ("pub(crate) fn log(vm: &crate::vm::Vm) {}", "vm/call"),
        ("mod inner { pub(super) fn log(vm: &super::super::super::vm::Vm) {} }", "vm/call"),
        ("const QUOTE: char = '\"'; const TEXT: &str = r#\"\"#; use crate::vm::*;", "vm"),
        ("macro_rules! run { () => { $crate::hostcalls::send() }; }", "hostcalls"),
    ] {
        let found = upward(&planted("host/queue", text));
        assert!(found.contains(&("host/queue".to_owned(), from.to_owned())), "{text} gives {found:?}");
    }
    for text in [
        "// use crate::vm::Vm;\n/* crate::vm::Vm */ const TEXT: &str = \"crate::vm::Vm\";",
        "#[cfg(test)] mod tests { use crate::vm::Vm; fn f() { if true {} } }",
        "use super::Log; use other::vm::Vm; use crate::Log as _;",
    ] {
        assert_eq!(upward(&planted("host/queue", text)), BTreeSet::new(), "{text}");
    }
}

#[test]
fn planted_rings_are_found() {
    assert!(rings(&planted("host/queue", "use super::Log;")).is_empty());
    let ring = rings(&planted("hostcalls/mod", "use crate::Vm; pub fn send() {}"));
    assert_eq!(ring, [BTreeSet::from(["hostcalls".to_owned(), "vm/call".to_owned()])]);
}

#[test]
fn planted_names_of_engines_are_found() {
    for text in ["use wasmtime::Engine;", "fn run(engine: &wasmtime::Engine) {}", "pub use wasmtime::Engine;"] {
        let found = strangers(&planted("vm/engine", text));
        assert_eq!(found, BTreeSet::from([("vm/engine".to_owned(), "wasmtime")]), "{text}");
        assert_eq!(strangers(&planted("backend/wasm/engine", text)), BTreeSet::new());
    }
}
