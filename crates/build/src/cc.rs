//! C and C++ plugins: natively with the system's compiler, wasm with a clang that supports it.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow, bail};
use dynvm_abi::table::{CALLBACKS, ENTRY_POINTS, HOSTCALLS};
use dynvm_abi::version::AbiVersion;

use crate::facts;
use crate::process;
use crate::progress::Progress;
use crate::source::{Files, Language, language};
use crate::toolchain::WasmTarget;
use crate::{Artifact, BuildOptions, Objects, dependencies};

/// Builds the shared object for this machine.
pub fn native(files: &Files, options: &BuildOptions, progress: &dyn Progress) -> Result<Artifact> {
    let compilers = Compilers::of_the_system();
    let linker = if files.has_cxx() { &compilers.cxx } else { &compilers.c };
    let mut link = to_command(linker);
    link.arg("-shared").args(words("LDFLAGS"));

    let name = format!("{}.{}", files.name, env::consts::DLL_EXTENSION);
    let path = build(files, options, "native", |language| compilers.compile(language), link, &name, progress)
        .with_context(|| not_built(files, "native library"))?;
    Ok(Artifact { path, by: linker[0].to_string_lossy().into_owned() })
}

/// Builds objects for linking the plugin into a program.
pub fn objects(files: &Files, options: &BuildOptions, progress: &dyn Progress) -> Result<Objects> {
    let compilers = Compilers::of_the_system();
    let compile_one = |language| {
        let mut command = compilers.compile(language);
        // Separate sections, so that the program's linker removes what is not used. A common symbol cannot become local.
        command.args(["-ffunction-sections", "-fdata-sections", "-fno-common", "-MMD"]);
        command
    };
    let objects =
        compile(files, options, "static", compile_one, progress).with_context(|| not_built(files, "objects"))?;
    let sources = objects.iter().flat_map(|object| dependencies::read(&object.with_extension("d"))).collect();
    Ok(Objects { files: objects, sources })
}

fn not_built(files: &Files, what: &str) -> String {
    format!("the {what} of {} was not built (compilers: CC and CXX in the environment, else cc and c++)", files.name)
}

/// The compilers for this machine, with the options that the environment gives.
struct Compilers {
    c: Vec<OsString>,
    cxx: Vec<OsString>,
    no_unique: Option<OsString>,
}

impl Compilers {
    fn of_the_system() -> Self {
        let cxx = program_from("CXX", "c++");
        // Only GNU's compiler generates unique symbols and has the option to avoid them. They would
        // keep the library loaded forever and be shared between images.
        let version = process::ask(to_command(&cxx).arg("--version"));
        let is_gnu = version.is_some_and(|text| text.contains("Free Software Foundation"));
        Self { c: program_from("CC", "cc"), cxx, no_unique: is_gnu.then(|| "-fno-gnu-unique".into()) }
    }

    fn compile(&self, language: Language) -> Command {
        let (compiler, variable) = match language {
            Language::C => (&self.c, "CFLAGS"),
            Language::Cxx => (&self.cxx, "CXXFLAGS"),
        };
        let mut command = to_command(compiler);
        command.args(["-fPIC", "-fvisibility=default"]);
        if language == Language::Cxx {
            command.args(&self.no_unique);
        }
        command.args(words(variable));
        command
    }
}

/// Builds the wasm module.
pub fn wasm(files: &Files, options: &BuildOptions, progress: &dyn Progress) -> Result<Artifact> {
    if options.target == Some(WasmTarget::Unknown) {
        bail!(
            "C and C++ plugins need a C library, which {} does not have: remove --target, or use wasm32-wasip1",
            WasmTarget::Unknown.triple()
        );
    }
    let candidates: Vec<Clang> = candidates().into_iter().filter_map(Clang::probe).collect();
    let clang = choose(&candidates, files.has_cxx()).map_err(|missing| anyhow!(missing))?;
    let driver = |language| {
        let mut command = Command::new(match language {
            Language::C => &clang.c,
            Language::Cxx => &clang.cxx,
        });
        command.arg(format!("--target={}", clang.target));
        command
    };
    let compile = |language| {
        let mut command = driver(language);
        if language == Language::Cxx {
            // The C++ library for WASI is built without exceptions.
            command.arg("-fno-exceptions");
        }
        command
    };
    let mut link = driver(if files.has_cxx() { Language::Cxx } else { Language::C });
    link.arg("-mexec-model=reactor");
    if !options.debug {
        link.arg("-Wl,--strip-debug");
    }
    // Without another allocator, the host allocates returned values with malloc.
    link.arg("-Wl,--export=malloc");
    for callback in CALLBACKS.iter().chain(ENTRY_POINTS) {
        if !OF_THE_C_LIBRARY.contains(&callback.name) {
            link.arg(format!("-Wl,--export-if-defined={}", callback.name));
        }
    }
    for version in AbiVersion::ALL {
        link.arg(format!("-Wl,--export-if-defined={}", version.marker()));
    }
    // Sources that declare a hostcall without its import module leave it undefined. Allow only
    // these names: a misspelled one must be an error here, not in the proxy.
    let build_dir = build_dir(files, options, "wasm")?;
    let imports = build_dir.join("hostcalls.txt");
    let names: Vec<_> = HOSTCALLS.iter().map(|hostcall| hostcall.name).collect();
    fs::write(&imports, names.join("\n")).with_context(|| format!("{} cannot be written", imports.display()))?;
    let mut allow = OsString::from("-Wl,--allow-undefined-file=");
    allow.push(&imports);
    link.arg(allow);

    let path = build(files, options, "wasm", compile, link, &format!("{}.wasm", files.name), progress)
        .with_context(|| format!("the wasm module of {} was not built", files.name))?;
    Ok(Artifact { path, by: format!("{}, {}", clang.c.display(), clang.target) })
}

/// Entry points that WASI's C library defines itself: it exports `_initialize`, and naming the
/// others would link its adapter for `main`, which a plugin does not have.
const OF_THE_C_LIBRARY: [&str; 3] = ["_initialize", "_start", "__main_void"];

/// Compiles each file and links them.
fn build(
    files: &Files,
    options: &BuildOptions,
    kind: &str,
    compile_one: impl Fn(Language) -> Command,
    mut link: Command,
    name: &str,
    progress: &dyn Progress,
) -> Result<PathBuf> {
    link.args(compile(files, options, kind, compile_one, progress)?);
    let dir = build_dir(files, options, kind)?;
    let path = dir.join(name);
    // Write beside and rename: a process that has mapped the old file keeps it unchanged.
    let new = dir.join(format!(".{name}.{}", std::process::id()));
    link.arg("-o").arg(&new);
    run(&mut link, progress)?;
    fs::rename(&new, &path).with_context(|| format!("{} cannot be written", path.display()))?;
    Ok(path)
}

/// Compiles each file to an object.
fn compile(
    files: &Files,
    options: &BuildOptions,
    kind: &str,
    compile_one: impl Fn(Language) -> Command,
    progress: &dyn Progress,
) -> Result<Vec<PathBuf>> {
    let dir = build_dir(files, options, kind)?;
    let headers = write_headers(&dir)?;
    let mut objects = Vec::new();
    for (index, file) in files.files.iter().enumerate() {
        let Some(language) = language(file) else { continue };
        // Other plugins may be in the same directory and be built at the same time.
        let object = dir.join(format!("{}-{index}.o", files.name));
        let mut command = compile_one(language);
        command.args(if options.debug { ["-O0", "-g"] } else { ["-O2", "-DNDEBUG"] });
        command.arg("-I").arg(&headers);
        for include in &options.include {
            command.arg("-I").arg(std::path::absolute(include).unwrap_or(include.clone()));
        }
        command.arg("-c").arg(file).arg("-o").arg(&object);
        run(&mut command, progress)?;
        objects.push(object);
    }
    Ok(objects)
}

/// Writes the headers of the ABI, which are embedded, because the sources may not be installed.
fn write_headers(dir: &Path) -> Result<PathBuf> {
    let include = dir.join("include");
    for (name, text) in dynvm_abi::HEADERS {
        let path = include.join(name);
        let parent = path.parent().expect("it is in a folder");
        fs::create_dir_all(parent)
            .and_then(|()| fs::write(&path, text))
            .with_context(|| format!("{} cannot be written", path.display()))?;
    }
    Ok(include)
}

fn run(command: &mut Command, progress: &dyn Progress) -> Result<()> {
    process::run(command, progress)?.success()?;
    Ok(())
}

/// The build directory: `target/<kind>` beside the sources, as with cargo.
fn build_dir(files: &Files, options: &BuildOptions, kind: &str) -> Result<PathBuf> {
    let target = match &options.target_dir {
        Some(dir) => std::path::absolute(dir).unwrap_or(dir.clone()).join(&files.name),
        None => files.dir.join("target"),
    };
    let dir = target.join(kind);
    fs::create_dir_all(&dir)
        .and_then(|()| fs::write(target.join(".gitignore"), "*\n"))
        .with_context(|| format!("{} cannot be written; name another place with --target-dir", dir.display()))?;
    Ok(dir)
}

/// The compiler from an environment variable, which may include options, or the default name.
fn program_from(variable: &str, default: &str) -> Vec<OsString> {
    let words = words(variable);
    if words.is_empty() { vec![default.into()] } else { words }
}

fn to_command(words: &[OsString]) -> Command {
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    command
}

/// The words of a variable such as CFLAGS.
fn words(variable: &str) -> Vec<OsString> {
    let text = env::var(variable).unwrap_or_default();
    text.split_whitespace().map(OsString::from).collect()
}

/// A clang and its support for wasm.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Clang {
    c: PathBuf,
    cxx: PathBuf,
    /// The target name under which its C library is installed.
    target: String,
    wasm32: bool,
    linker: bool,
    libc: bool,
    builtins: bool,
    libcxx: bool,
}

impl Clang {
    fn probe(c: PathBuf) -> Option<Self> {
        let targets = process::ask(Command::new(&c).arg("--print-targets"))?;
        let mut clang = Self {
            cxx: plus_plus(&c),
            target: "wasm32-wasi".to_owned(),
            wasm32: targets.contains("wasm32"),
            ..Self::default()
        };
        // Distributions install the library under either name; wasip1 is the newer one.
        for target in ["wasm32-wasip1", "wasm32-wasi"] {
            let target_option = format!("--target={target}");
            let found = |query: &str| {
                let answer = process::ask(Command::new(&c).args([&target_option, query]));
                answer.is_some_and(|path| Path::new(&path).is_absolute() && Path::new(&path).exists())
            };
            clang.linker = found("-print-prog-name=wasm-ld") || facts::find_program("wasm-ld").is_some();
            clang.libc = found("-print-file-name=libc.a");
            clang.builtins = found("-print-libgcc-file-name");
            clang.libcxx = found("-print-file-name=libc++.a") && facts::find_program_at(&clang.cxx);
            if clang.libc {
                clang.target = target.to_owned();
                break;
            }
        }
        clang.c = c;
        Some(clang)
    }

    /// The components missing for building a plugin.
    fn lacks(&self, cxx: bool) -> Vec<&'static str> {
        let parts = [
            (self.wasm32, "support for wasm32"),
            (self.linker, "wasm-ld"),
            (self.libc, "a libc for WASI"),
            (self.builtins, "compiler-rt for wasm32"),
            (self.libcxx || !cxx, "libc++ for WASI"),
        ];
        parts.into_iter().filter(|(there, _)| !there).map(|(_, name)| name).collect()
    }
}

/// `clang++-19` for `clang-19`.
fn plus_plus(clang: &Path) -> PathBuf {
    let name = clang.file_name().map(|name| name.to_string_lossy().replacen("clang", "clang++", 1));
    name.map_or(clang.to_owned(), |name| clang.with_file_name(name))
}

/// Candidates for a clang with wasm support, the user's choice first.
fn candidates() -> Vec<PathBuf> {
    if let Some(named) = env::var_os("DYNVM_WASM_CC") {
        return vec![named.into()];
    }
    let versioned = (10..40).rev().map(|version| format!("clang-{version}"));
    facts::wasi_sdk()
        .map(|sdk| sdk.join("bin/clang"))
        .into_iter()
        .chain(["clang".to_owned()].into_iter().chain(versioned).filter_map(|name| facts::find_program(&name)))
        .collect()
}

/// The first complete clang, or a message with the missing components and remedies.
fn choose(candidates: &[Clang], cxx: bool) -> Result<&Clang, String> {
    if let Some(clang) = candidates.iter().find(|clang| clang.lacks(cxx).is_empty()) {
        return Ok(clang);
    }
    let mut text = "no clang here builds for wasm32-wasi:\n".to_owned();
    for clang in candidates {
        text += &format!("  - {} lacks {}\n", clang.c.display(), clang.lacks(cxx).join(", "));
    }
    if candidates.is_empty() {
        text += &match env::var("DYNVM_WASM_CC") {
            Ok(named) => format!("  - {named} (from DYNVM_WASM_CC) is not clang\n"),
            Err(_) => "  - no clang in PATH\n".to_owned(),
        };
    }
    let cxx = if cxx { " libc++-19-dev-wasm32 libc++abi-19-dev-wasm32" } else { "" };
    text += &format!(
        "Any of these fixes it:\n  \
         on Debian, Ubuntu   apt install clang-19 lld-19 wasi-libc libclang-rt-19-dev-wasm32{cxx}\n  \
         anywhere            unpack https://github.com/WebAssembly/wasi-sdk and set WASI_SDK_PATH to it\n\
         The native plugin alone: --native-only"
    );
    Err(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete() -> Clang {
        Clang {
            c: "/usr/bin/clang-19".into(),
            cxx: "/usr/bin/clang++-19".into(),
            target: "wasm32-wasi".to_owned(),
            wasm32: true,
            linker: true,
            libc: true,
            builtins: true,
            libcxx: true,
        }
    }

    #[test]
    fn the_first_complete_clang_is_taken() {
        let bare = Clang { libc: false, ..complete() };
        let without_cxx = Clang { libcxx: false, ..complete() };
        let all = [bare.clone(), without_cxx.clone(), complete()];
        assert_eq!(choose(&all, false), Ok(&without_cxx));
        assert_eq!(choose(&all, true), Ok(&complete()));
    }

    #[test]
    fn what_is_missing_is_named_with_what_mends_it() {
        let bare = Clang { libc: false, linker: false, ..complete() };
        let text = choose(&[bare], false).unwrap_err();
        for part in ["/usr/bin/clang-19 lacks wasm-ld, a libc for WASI", "apt install clang-19", "WASI_SDK_PATH"] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(!text.contains("libc++"), "{text}");
        assert!(choose(&[], true).unwrap_err().contains("no clang in PATH"));
    }

    #[test]
    fn names_of_the_cxx_driver() {
        assert_eq!(plus_plus(Path::new("/usr/bin/clang-19")), Path::new("/usr/bin/clang++-19"));
        assert_eq!(plus_plus(Path::new("clang")), Path::new("clang++"));
    }
}
