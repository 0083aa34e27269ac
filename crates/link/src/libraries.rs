//! What the libraries of the system define, so that a name that nobody defines is reported with the plugin and not by the program's
//! linker.

use std::collections::HashSet;
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use object::Object as _;
use object::ObjectSymbol as _;
use object::read::archive::ArchiveFile;
use object::read::elf::ElfFile64;

use crate::linker;
use crate::target::Target;

/// Defined by the linker itself.
const OF_THE_LINKER: &[&str] =
    &["_GLOBAL_OFFSET_TABLE_", "__dso_handle", "__ehdr_start", "__executable_start", "_DYNAMIC"];

/// The names that a program can have from the C library, the unwinder, the C++ library and others. `None` if they are not installed
/// for the target, as when a plugin is cross-compiled without its libraries.
pub fn defined(target: &Target, cxx: bool, others: &[String]) -> Result<Option<HashSet<String>>> {
    let mut names: HashSet<String> = OF_THE_LINKER.iter().map(|&name| name.to_owned()).collect();
    let Some(mut files) = libc(target) else { return Ok(None) };
    let others = cxx.then_some("stdc++").into_iter().chain(others.iter().map(String::as_str));
    for name in others {
        let kinds = if target.is_musl() { ["a", "a"] } else { ["so", "a"] };
        let found = kinds.iter().find_map(|kind| ask_compiler(target, &format!("lib{name}.{kind}")));
        files.push(found.with_context(|| {
            format!(
                "the C compiler does not find the library {name}: install it for {}, with its headers",
                target.triple
            )
        })?);
    }
    for file in files {
        names.extend(of_file(&file).with_context(|| format!("{} cannot be read", file.display()))?);
    }
    Ok(Some(names))
}

fn libc(target: &Target) -> Option<Vec<PathBuf>> {
    if target.is_musl() {
        let dir = linker::target_dir(&target.triple)?.join("lib/self-contained");
        let files = ["libc.a", "libunwind.a"].map(|name| dir.join(name));
        return files.iter().all(|file| file.is_file()).then(|| files.to_vec());
    }
    let loader = match target.architecture() {
        "x86_64" => "ld-linux-x86-64.so.2",
        "aarch64" => "ld-linux-aarch64.so.1",
        _ => return None,
    };
    let names = ["libc.so.6", "libm.so.6", "libgcc_s.so.1", "libc_nonshared.a", "libgcc.a", loader];
    // Older C libraries have more parts.
    let optional = ["libpthread.so.0", "libdl.so.2", "librt.so.1", "libutil.so.1"];
    let mut files = names.map(|name| ask_compiler(target, name)).into_iter().collect::<Option<Vec<_>>>()?;
    files.extend(optional.iter().filter_map(|name| ask_compiler(target, name)));
    Some(files)
}

/// Where the target's C compiler finds a library.
fn ask_compiler(target: &Target, file: &str) -> Option<PathBuf> {
    let given = env::var("CC").ok().filter(|compiler| !compiler.trim().is_empty());
    let is_native = linker::host()?.starts_with(target.architecture());
    let compiler = given.unwrap_or_else(|| match is_native {
        true => "cc".to_owned(),
        false => format!("{}-linux-gnu-gcc", target.architecture()),
    });
    let mut words = compiler.split_whitespace();
    let output = Command::new(words.next()?).args(words).arg(format!("-print-file-name={file}")).output().ok()?;
    let path = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    // What is not found is returned as it was asked.
    path.is_absolute().then_some(path)
}

/// The names that a library defines.
fn of_file(path: &Path) -> Result<Vec<String>> {
    let bytes = std::fs::read(path)?;
    let text = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
    if bytes.starts_with(b"!<arch>\n") {
        let archive = ArchiveFile::parse(&*bytes)?;
        let symbols = archive.symbols()?.context("the archive has no index")?;
        return symbols.map(|symbol| Ok(text(symbol?.name()))).collect();
    }
    // A development library may be a linker script; it names others, which the linker finds.
    if !bytes.starts_with(b"\x7fELF") {
        return Ok(Vec::new());
    }
    let file: ElfFile64<'_> = ElfFile64::parse(&*bytes)?;
    Ok(file
        .dynamic_symbols()
        .filter(|symbol| !symbol.is_undefined())
        .filter_map(|symbol| Some(text(symbol.name_bytes().ok()?)))
        .collect())
}

/// The names that a static library defines, by its index.
pub fn of_archive(path: &Path) -> Result<Vec<String>> {
    of_file(path).with_context(|| format!("{} cannot be read", path.display()))
}
