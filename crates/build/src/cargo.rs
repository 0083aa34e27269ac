//! Cargo packages: runs cargo for either artifact and finds its output.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow, ensure};
use serde::Deserialize;

use crate::facts::{Facts, Toolchain};
use crate::process;
use crate::progress::Progress;
use crate::source::Package;
use crate::toolchain::{self, Library, Route};
use crate::{Artifact, BuildOptions, Objects, dependencies, hints, sysroot};

/// Builds the shared object for this machine.
pub fn native(package: &Package, options: &BuildOptions, progress: &dyn Progress) -> Result<Artifact> {
    let mut command = Command::new("cargo");
    command.current_dir(&package.dir);
    process::clean(&mut command);
    // Many plugins set a wasm target as the default in their cargo configuration.
    if let Some(host) = host_to_name(&package.dir) {
        command.args(["--config", &format!("build.target={}", toml(OsStr::new(&host)))]);
    }
    build("build", &mut command, package, options);
    let output = process::run(&mut command, progress)?
        .success()
        .with_context(|| format!("the native library of {} was not built", package.name))?;
    let path = find(&output.stdout, package, "cdylib", std::env::consts::DLL_EXTENSION)?;
    Ok(Artifact { path, by: "cargo".to_owned() })
}

/// Builds a static library for linking the plugin into a program. The package stays a cdylib.
pub fn objects(package: &Package, triple: &str, options: &BuildOptions, progress: &dyn Progress) -> Result<Objects> {
    let mut command = Command::new("cargo");
    command.current_dir(&package.dir);
    process::clean(&mut command);
    // Set for build scripts: the options and the wrapper of the program, not of the plugin.
    command.env_remove("CARGO_ENCODED_RUSTFLAGS").env_remove("RUSTC_WORKSPACE_WRAPPER");
    build("rustc", &mut command, package, options);
    command.args(["--crate-type", "staticlib", "--target", triple]);
    let output = process::run(&mut command, progress)?
        .success()
        .with_context(|| format!("the static library of {} was not built", package.name))?;
    let library = find(&output.stdout, package, "staticlib", "a")?;
    let mut sources = dependencies::read(&library.with_extension("d"));
    sources.push(package.manifest.clone());
    Ok(Objects { files: vec![library], sources })
}

/// Builds the wasm module by the best available route.
pub fn wasm(package: &Package, options: &BuildOptions, progress: &dyn Progress) -> Result<Artifact> {
    let route = route(package, options, progress)?;
    let mut command = command(&route.toolchain, &package.dir);
    for_wasm(&mut command);
    let mut flags = Vec::new();
    if matches!(route.library, Library::Cached | Library::Compile)
        && let Some(dir) = sysroot::dir(&route)
    {
        flags.extend([OsString::from("--sysroot"), dir.as_os_str().to_owned()]);
    }
    flags.extend(sysroot::wasi_flags(&route));
    flags.extend(undefined_flag(&route.toolchain.version));
    configure(&mut command, &route, &flags);
    build("build", &mut command, package, options);
    command.args(["--target", route.target.triple()]);
    let output = process::run(&mut command, progress)?
        .success()
        .map_err(|error| anyhow!("{error}{}", hints::after_failure(&route, &error.to_string())))
        .with_context(|| format!("the wasm module of {} was not built", package.name))?;
    let path = find(&output.stdout, package, "cdylib", "wasm")?;
    Ok(Artifact { path, by: format!("cargo, {}", route.describe()) })
}

/// The linker option that turns undefined functions into imports. rustc before 1.96 passes it by
/// itself, and Rust SDKs before 0.2.5 rely on it: they do not name the import module of hostcalls.
/// Functions that are not hostcalls are rejected when the module is loaded.
fn undefined_flag(version: &str) -> Option<OsString> {
    let mut numbers = version.split('.').map(str::parse::<u32>);
    let passes_it = matches!((numbers.next(), numbers.next()), (Some(Ok(1)), Some(Ok(..96))));
    (!passes_it).then(|| "-Clink-arg=--allow-undefined".into())
}

/// Chooses a route to wasm and prepares it.
fn route(package: &Package, options: &BuildOptions, progress: &dyn Progress) -> Result<Route> {
    let mut facts = Facts::probe(&package.dir);
    let mut reason = None;
    loop {
        let Some(route) = toolchain::choose(&facts, options.target) else {
            let missing = toolchain::missing(&facts, options.target);
            return Err(match reason {
                Some(reason) => anyhow!("{missing}\n\nrustup said:\n{reason}"),
                None => anyhow!(missing),
            });
        };
        let triple = route.target.triple();
        match route.library {
            Library::Installed | Library::Cached => return Ok(route),
            Library::Add => {
                progress.note(&format!("rustup target add {triple}"));
                match sysroot::add_target(&package.dir, route.target, progress) {
                    Ok(()) => facts = Facts::probe(&package.dir),
                    Err(error) => {
                        let text = format!("{error:#}");
                        progress.note("rustup could not add the target; looking for another way");
                        reason = Some(text);
                    }
                }
                // One attempt is enough, whatever its result.
                facts.can_add_target = false;
            }
            Library::Compile => {
                progress.note(&format!(
                    "compiling the standard library for {triple} with rustc {}, once",
                    route.toolchain.version
                ));
                sysroot::compile(&route, progress)?;
                return Ok(route);
            }
        }
    }
}

/// A cargo command of a toolchain, in a directory.
pub fn command(toolchain: &Toolchain, dir: &Path) -> Command {
    let mut command = Command::new(&toolchain.cargo);
    command.current_dir(dir);
    process::clean(&mut command);
    if let Some(rustc) = &toolchain.rustc {
        // Otherwise this cargo would run the first rustc in PATH, which belongs to another toolchain.
        command.env("RUSTC", rustc);
    }
    command
}

/// Removes options meant for native code, such as `-C target-cpu=native`.
pub fn for_wasm(command: &mut Command) {
    for name in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_RUSTFLAGS"] {
        command.env_remove(name);
    }
}

/// Passes the linker and the options of a route to cargo, as configuration: it adds to the user's
/// own options for this target, and supports paths with spaces.
pub fn configure(command: &mut Command, route: &Route, flags: &[OsString]) {
    let triple = route.target.triple();
    let user_linker = format!("CARGO_TARGET_{}_LINKER", triple.to_uppercase().replace('-', "_"));
    if let Some(linker) = route.linker.as_ref().filter(|_| std::env::var_os(user_linker).is_none()) {
        command.arg("--config").arg(format!("target.{triple}.linker={}", toml(linker.as_os_str())));
    }
    if !flags.is_empty() {
        let flags: Vec<_> = flags.iter().map(|flag| toml(flag)).collect();
        command.arg("--config").arg(format!("target.{triple}.rustflags=[{}]", flags.join(",")));
    }
}

/// Formats a TOML string.
fn toml(text: &OsStr) -> String {
    // A JSON string is a valid TOML string, except for characters that no path contains.
    serde_json::Value::from(text.to_string_lossy()).to_string()
}

/// The arguments that all artifacts share, of `cargo build` or `cargo rustc`.
fn build(subcommand: &str, command: &mut Command, package: &Package, options: &BuildOptions) {
    command.args([subcommand, "--lib", "--message-format=json-render-diagnostics"]);
    command.arg("--manifest-path").arg(&package.manifest).args(["--package", &package.id]);
    command.args(["--profile", if options.debug { "dev" } else { "release" }]);
    command.args(["--color", if options.colour { "always" } else { "never" }]);
    if !options.features.is_empty() {
        command.args(["--features", &options.features.join(",")]);
    }
    if let Some(dir) = &options.target_dir {
        // Cargo resolves a relative path from the directory of the plugin.
        command.arg("--target-dir").arg(std::path::absolute(dir).unwrap_or(dir.clone()));
    }
}

/// The name of this machine's target, if cargo is configured to build for another one. Only then:
/// with an explicit target cargo uses another directory, and would recompile everything that the
/// user's `cargo build` has compiled.
fn host_to_name(dir: &Path) -> Option<String> {
    let mut command = Command::new("cargo");
    command.current_dir(dir).args(["-Zunstable-options", "config", "get", "build.target"]);
    process::clean(&mut command);
    command.env("RUSTC_BOOTSTRAP", "1"); // `config get` is unstable.
    let configured = process::ask(&mut command)?;
    let mut command = Command::new("rustc");
    command.current_dir(dir).arg("-vV");
    process::clean(&mut command);
    let host = process::ask(&mut command)?;
    let host = host.lines().find_map(|line| line.strip_prefix("host: "))?;
    (!configured.contains(&format!("\"{host}\""))).then(|| host.to_owned())
}

/// Cargo's report of one compiled target.
#[derive(Deserialize)]
pub struct CompiledTarget {
    manifest_path: PathBuf,
    target: TargetKind,
    /// Files produced for the target.
    pub filenames: Vec<PathBuf>,
}

#[derive(Deserialize)]
struct TargetKind {
    kind: Vec<String>,
}

/// The compiled targets in cargo's output.
pub fn artifacts(messages: &[u8]) -> impl Iterator<Item = CompiledTarget> {
    // Other messages lack one of these members, and build scripts may print anything.
    messages.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok())
}

/// The file of the plugin.
fn find(messages: &[u8], package: &Package, kind: &str, extension: &str) -> Result<PathBuf> {
    let is_ours = |artifact: &CompiledTarget| {
        artifact.manifest_path == package.manifest && artifact.target.kind.iter().any(|found| found == kind)
    };
    let path = artifacts(messages)
        .filter(is_ours)
        .flat_map(|artifact| artifact.filenames)
        .find(|path| path.extension().is_some_and(|found| found == extension))
        .with_context(|| {
            format!(
                "cargo built {} but reports no .{extension} file for it: is `crate-type = [\"cdylib\"]` set for this \
                 target?",
                package.name
            )
        })?;
    ensure!(path.is_file(), "cargo reports {}, which does not exist", path.display());
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::toolchain::WasmTarget;

    fn message(manifest: &str, kind: &str, files: &[&Path]) -> String {
        serde_json::json!({
            "reason": "compiler-artifact", "manifest_path": manifest, "target": {"kind": [kind], "name": "x"},
            "filenames": files, "fresh": true,
        })
        .to_string()
    }

    #[test]
    fn imports_of_functions_that_nobody_defines_are_asked_for_where_rustc_does_not() {
        for old in ["1.85.0", "1.95.0"] {
            assert_eq!(undefined_flag(old), None, "{old}");
        }
        for new in ["1.96.0", "1.97.0-nightly", "2.0.0"] {
            assert!(undefined_flag(new).is_some(), "{new}");
        }
    }

    #[test]
    fn the_artifact_is_the_cdylib_of_the_package() {
        let dir = tempfile::tempdir().unwrap();
        let (so, rlib) = (dir.path().join("libx.so"), dir.path().join("libx.rlib"));
        std::fs::write(&so, "").unwrap();
        let package = Package { dir: "/p".into(), manifest: "/p/Cargo.toml".into(), name: "x".into(), id: "x".into() };
        let messages = [
            "a build script printed this".to_owned(),
            message("/dependency/Cargo.toml", "cdylib", &[Path::new("/d/libd.so")]),
            message("/p/Cargo.toml", "custom-build", &[Path::new("/p/build.so")]),
            message("/p/Cargo.toml", "cdylib", &[&rlib, &so]),
            r#"{"reason":"build-finished","success":true}"#.to_owned(),
        ];
        let messages = messages.join("\n");
        assert_eq!(find(messages.as_bytes(), &package, "cdylib", "so").unwrap(), so);
        let error = find(messages.as_bytes(), &package, "cdylib", "wasm").unwrap_err().to_string();
        assert!(error.contains(".wasm"), "{error}");
    }

    #[test]
    fn the_route_is_told_as_configuration() {
        let route = Route {
            toolchain: Toolchain::default(),
            target: WasmTarget::Wasip1,
            library: Library::Cached,
            linker: Some("/opt/my tools/wasm-ld".into()),
            wasi_libc: Some("/usr/lib/wasm32-wasi".into()),
            instead_of: None,
        };
        let mut command = Command::new("cargo");
        configure(&mut command, &route, &sysroot::wasi_flags(&route));
        let args: Vec<_> = command.get_args().map(|arg| arg.to_string_lossy()).collect();
        assert_eq!(
            args,
            [
                "--config",
                r#"target.wasm32-wasip1.linker="/opt/my tools/wasm-ld""#,
                "--config",
                r#"target.wasm32-wasip1.rustflags=["-Clink-self-contained=no","-Lnative=/usr/lib/wasm32-wasi"]"#,
            ]
        );
    }

    #[test]
    fn flags_for_native_code_are_taken_away() {
        let mut command = Command::new("cargo");
        for_wasm(&mut command);
        assert!(command.get_envs().any(|(name, value)| name == "RUSTFLAGS" && value.is_none()));
    }
}
