//! Compiles the programs of tests and benches: the shim, a program in C++, plugins.
//!
//! | variable | meaning |
//! |---|---|
//! | `DYNVM_CPP_HOST_INCLUDE` | include directories, separated by colons: the root of proxy-wasm-cpp-host and that of the C++ SDK |
//! | `DYNVM_CPP_HOST_LIB` | the host's built library and its dependencies, separated by spaces, as linker arguments |
//! | `CC`, `CXX` | compilers; without them `cc` and `c++` |

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

const MANIFEST: &str = env!("CARGO_MANIFEST_DIR");

/// A path of this package.
pub fn here(path: &str) -> PathBuf {
    Path::new(MANIFEST).join(path)
}

/// A path for build output.
pub fn target(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// Runs a command that must succeed.
pub fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} cannot be run: {error}"));
    assert!(
        output.status.success(),
        "{command:?} failed ({}):\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// The compiler that a variable names.
pub fn compiler(variable: &str, default: &str) -> Command {
    Command::new(std::env::var_os(variable).unwrap_or_else(|| default.into()))
}

/// A library of a package of the workspace, built.
pub fn built_by_cargo(package: &str, library: &str, options: &[&str]) -> PathBuf {
    let mut command = Command::new(env!("CARGO"));
    command.args(["build", "--release", "-p", package, "--message-format=json", "--quiet"]).args(options);
    command.current_dir(here(".."));
    let text = String::from_utf8_lossy(&run(&mut command).stdout).into_owned();
    let path = text.split('"').find(|word| word.ends_with(library));
    path.unwrap_or_else(|| panic!("cargo does not name {library}")).into()
}

/// The loader's library, built.
pub static LOADER: LazyLock<PathBuf> = LazyLock::new(|| built_by_cargo("dynvm-capi", "/libdynvm_loader.a", &[]));

/// The same as programs that are deployed have it, whatever a configuration of cargo's says for development.
#[allow(dead_code, reason = "only what measures uses it")]
pub static OPTIMISED_LOADER: LazyLock<PathBuf> = LazyLock::new(|| {
    let options = ["opt-level=3", "codegen-units=1"].map(|option| format!("profile.release.package.dynvm.{option}"));
    let [level, units] = &options;
    built_by_cargo("dynvm-capi", "/libdynvm_loader.a", &["--config", level, "--config", units])
});

/// The directory in which cargo builds.
#[allow(dead_code, reason = "the bench does not use it")]
pub fn cargo_target() -> &'static Path {
    LOADER.ancestors().nth(2).expect("target/release/libdynvm_loader.a")
}

/// The host that the environment names.
#[derive(Clone)]
pub struct Host {
    pub includes: Vec<PathBuf>,
    pub libraries: Vec<String>,
}

impl Host {
    /// `None` if none is named.
    pub fn given() -> Option<Host> {
        let includes = std::env::var("DYNVM_CPP_HOST_INCLUDE").ok()?;
        let libraries = std::env::var("DYNVM_CPP_HOST_LIB").ok()?;
        Some(Host {
            includes: includes.split(':').map(PathBuf::from).collect(),
            libraries: libraries.split_whitespace().map(str::to_owned).collect(),
        })
    }

    /// The host, which must be named.
    pub fn required() -> Host {
        Host::given().expect("DYNVM_CPP_HOST_INCLUDE and DYNVM_CPP_HOST_LIB name a proxy-wasm-cpp-host")
    }

    /// The sources of the C++ SDK, if they are among the include directories.
    pub fn sdk(&self) -> Option<&Path> {
        let sdk = self.includes.iter().find(|dir| dir.join("proxy_wasm_intrinsics.cc").exists());
        sdk.map(PathBuf::as_path)
    }
}

/// A plugin in C++ with the C++ SDK, compiled.
pub fn sdk_plugin(sdk: &Path, source: &str, flags: &[&str], name: &str) -> PathBuf {
    let plugin = target(name);
    let mut command = compiler("CXX", "c++");
    command.args(["-std=c++17", "-O2", "-fPIC", "-shared", "-Wno-attributes", "-I"]).arg(sdk).args(flags);
    run(command.arg(sdk.join("proxy_wasm_intrinsics.cc")).arg(here(source)).arg("-o").arg(&plugin));
    plugin
}

/// A program: the shim and further sources.
pub struct Program {
    pub name: &'static str,
    pub loader: &'static LazyLock<PathBuf>,
    pub sources: Vec<PathBuf>,
    pub includes: Vec<PathBuf>,
    pub flags: Vec<&'static str>,
    pub libraries: Vec<String>,
}

impl Program {
    /// Compiles and links it.
    pub fn build(self) -> PathBuf {
        let program = target(self.name);
        let mut command = compiler("CXX", "c++");
        command.args(["-std=c++20", "-pthread"]).args(self.flags);
        let own = ["include", "../loader/include"].map(here);
        for dir in own.iter().chain(&self.includes) {
            command.arg("-I").arg(dir);
        }
        command.args(["src/dyn_vm.cc", "src/loading.cc"].map(here)).args(self.sources).arg("-o").arg(&program);
        run(command.arg(&**self.loader).args(self.libraries).args(["-ldl", "-lm", "-lgcc_s"]));
        program
    }
}
