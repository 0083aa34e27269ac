//! Sources of plugins: a Cargo package with a cdylib, or C and C++ files.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::{BuildError, process};

/// A plugin's source.
#[derive(Debug)]
pub enum Source {
    /// A Cargo package.
    Cargo(Package),
    /// C and C++ files.
    Files(Files),
}

/// A Cargo package with a cdylib target.
#[derive(Debug)]
pub struct Package {
    /// Absolute path of its directory.
    pub dir: PathBuf,
    /// Absolute path of its manifest.
    pub manifest: PathBuf,
    /// Name of the package.
    pub name: String,
    /// Cargo's package id, which is unique where names are not.
    pub id: String,
}

/// The C and C++ sources of one plugin.
#[derive(Debug)]
pub struct Files {
    /// Absolute path of their directory.
    pub dir: PathBuf,
    /// Name of the directory, or of a single file.
    pub name: String,
    /// Absolute paths of the files, sorted.
    pub files: Vec<PathBuf>,
}

impl Source {
    /// Finds the source at a path.
    ///
    /// # Errors
    ///
    /// The path contains no plugin, or several; the message says what to do.
    pub fn find(path: &Path) -> Result<Self, BuildError> {
        Self::look(path).map_err(BuildError::from)
    }

    fn look(path: &Path) -> Result<Self> {
        let shown = path.display();
        let absolute = path.canonicalize().with_context(|| format!("{shown} cannot be read"))?;
        if absolute.is_file() {
            // Tab completion often ends at Cargo.toml.
            if absolute.file_name().is_some_and(|name| name == "Cargo.toml") {
                return Self::look(absolute.parent().unwrap_or(&absolute));
            }
            ensure!(language(&absolute).is_some(), "{shown} is neither a directory nor a C or C++ source file");
            let dir = absolute.parent().unwrap_or(&absolute).to_owned();
            let name = lossy_name(absolute.file_stem());
            return Ok(Self::Files(Files { dir, name, files: vec![absolute] }));
        }
        if absolute.join("Cargo.toml").is_file() {
            return package(&absolute).map(Self::Cargo);
        }
        let mut files = Vec::new();
        for entry in fs::read_dir(&absolute).with_context(|| format!("{shown} cannot be read"))? {
            let file = entry.with_context(|| format!("{shown} cannot be read"))?.path();
            if file.is_file() && language(&file).is_some() {
                files.push(file);
            }
        }
        ensure!(!files.is_empty(), "{shown} contains no plugin: neither a Cargo.toml nor a .c, .cc, .cpp or .cxx file");
        files.sort();
        Ok(Self::Files(Files { name: lossy_name(absolute.file_name()), dir: absolute, files }))
    }

    /// Name of the plugin, used for its artifacts.
    pub fn name(&self) -> &str {
        match self {
            Self::Cargo(package) => &package.name,
            Self::Files(files) => &files.name,
        }
    }

    /// Directory of the plugin.
    pub fn dir(&self) -> &Path {
        match self {
            Self::Cargo(package) => &package.dir,
            Self::Files(files) => &files.dir,
        }
    }
}

impl Files {
    /// Whether one of the files is C++, so that the plugin needs the C++ library.
    pub fn has_cxx(&self) -> bool {
        self.files.iter().any(|file| language(file) == Some(Language::Cxx))
    }
}

/// Source languages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// C
    C,
    /// C++
    Cxx,
}

/// The language of a file; `None` if it is not compiled.
pub fn language(file: &Path) -> Option<Language> {
    match file.extension()?.to_str()? {
        "c" => Some(Language::C),
        "cc" | "cpp" | "cxx" | "C" => Some(Language::Cxx),
        _ => None,
    }
}

fn lossy_name(name: Option<&std::ffi::OsStr>) -> String {
    name.map_or("plugin".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// The used part of `cargo metadata`.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<MetadataPackage>,
}

#[derive(Deserialize)]
struct MetadataPackage {
    name: String,
    id: String,
    manifest_path: PathBuf,
    targets: Vec<MetadataTarget>,
}

#[derive(Deserialize)]
struct MetadataTarget {
    kind: Vec<String>,
    crate_types: Vec<String>,
}

impl MetadataPackage {
    fn is_plugin(&self) -> bool {
        // `cargo build` does not build examples, even if they are cdylibs.
        let is_example = |target: &MetadataTarget| target.kind.iter().any(|kind| kind == "example");
        self.targets.iter().any(|target| !is_example(target) && target.crate_types.iter().any(|kind| kind == "cdylib"))
    }
}

fn package(dir: &Path) -> Result<Package> {
    let manifest = dir.join("Cargo.toml");
    let mut command = Command::new("cargo");
    // Run in the plugin's directory, so that its toolchain file and configuration apply.
    command.current_dir(dir).args(["metadata", "--no-deps", "--format-version", "1"]);
    command.arg("--manifest-path").arg(&manifest);
    process::clean(&mut command);
    let output = command.output().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => anyhow::anyhow!(
            "{} is a Cargo package and there is no cargo in PATH: install Rust from https://rustup.rs, or \
             the packages rustc and cargo of your distribution",
            dir.display()
        ),
        _ => anyhow::Error::new(error).context("cargo cannot be run"),
    })?;
    if !output.status.success() {
        bail!("cargo does not read {}:\n{}", manifest.display(), String::from_utf8_lossy(&output.stderr).trim_end());
    }
    let metadata: Metadata = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("cargo's metadata of {} is not understood", manifest.display()))?;
    choose(dir, &manifest, metadata)
}

/// The package of this manifest, if it is a plugin.
fn choose(dir: &Path, manifest: &Path, metadata: Metadata) -> Result<Package> {
    let own = metadata.packages.iter().find(|package| package.manifest_path == manifest);
    match own {
        Some(own) if own.is_plugin() => Ok(Package {
            dir: dir.to_owned(),
            manifest: manifest.to_owned(),
            name: own.name.clone(),
            id: own.id.clone(),
        }),
        Some(own) => bail!(
            "the package {} ({}) is not a plugin, because it has no cdylib. Add to its Cargo.toml:\n\n    \
             [lib]\n    crate-type = [\"cdylib\"]\n",
            own.name,
            manifest.display()
        ),
        None => {
            let mut plugins: Vec<String> = metadata
                .packages
                .iter()
                .filter(|package| package.is_plugin())
                .filter_map(|package| package.manifest_path.parent())
                .map(|dir| format!("    {}", dir.display()))
                .collect();
            plugins.sort();
            let advice = if plugins.is_empty() {
                "None of its members is a plugin: a plugin has `[lib] crate-type = [\"cdylib\"]`.".to_owned()
            } else {
                format!("Its plugins, to be named one by one:\n{}", plugins.join("\n"))
            };
            bail!("{} is a workspace, not a package. {advice}", manifest.display())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(text: &str) -> Metadata {
        serde_json::from_str(text).unwrap()
    }

    fn find(text: &str) -> Result<Package> {
        choose(Path::new("/w"), Path::new("/w/Cargo.toml"), metadata(text))
    }

    const PLUGIN: &str = r#"{"packages":[{"name":"a","id":"id","manifest_path":"/w/Cargo.toml",
        "targets":[{"kind":["cdylib","rlib"],"crate_types":["cdylib","rlib"]}]}]}"#;

    #[test]
    fn a_package_with_a_cdylib_is_a_plugin() {
        let package = find(PLUGIN).unwrap();
        assert_eq!((package.name.as_str(), package.id.as_str()), ("a", "id"));
    }

    #[test]
    fn a_package_without_a_cdylib_is_told_what_to_add() {
        let text = PLUGIN.replace("cdylib", "lib");
        let error = find(&text).unwrap_err().to_string();
        assert!(error.contains("crate-type = [\"cdylib\"]"), "{error}");
    }

    #[test]
    fn a_cdylib_example_is_not_the_plugin() {
        let text = PLUGIN.replace(r#""kind":["cdylib","rlib"]"#, r#""kind":["example"]"#);
        assert!(find(&text).is_err());
    }

    #[test]
    fn a_workspace_names_its_plugins() {
        let text = PLUGIN.replace("/w/Cargo.toml", "/w/plugins/a/Cargo.toml");
        let error = find(&text).unwrap_err().to_string();
        assert!(error.contains("/w/plugins/a"), "{error}");
    }

    #[test]
    fn a_directory_without_sources_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let error = Source::find(dir.path()).unwrap_err().to_string();
        assert!(error.contains("contains no plugin"), "{error}");
        fs::write(dir.path().join("b.c"), "").unwrap();
        fs::write(dir.path().join("a.cc"), "").unwrap();
        let Ok(Source::Files(files)) = Source::find(dir.path()) else { panic!() };
        let names: Vec<_> = files.files.iter().filter_map(|file| file.file_name()).collect();
        assert_eq!(names, ["a.cc", "b.c"]);
    }

    #[test]
    fn languages_by_extension() {
        assert_eq!(language(Path::new("a.c")), Some(Language::C));
        assert_eq!(language(Path::new("a.cpp")), Some(Language::Cxx));
        assert_eq!(language(Path::new("a.h")), None);
        assert_eq!(language(Path::new("c")), None);
    }
}
