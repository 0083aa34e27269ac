//! The builds that replace the code of plugins, by the plugins' names.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use dynvm::ArtifactKind;
use dynvm::inspect::{Inspection, inspect_file};

use crate::artifact;
use crate::exit::{cannot_load, load_failure, usage};

/// A value of `--plugin`.
#[derive(Clone, Debug)]
pub enum PluginArg {
    /// `NAME=FILE`
    File(String, PathBuf),
    /// A folder with `NAME.so` or `libNAME.so`.
    Folder(PathBuf),
}

impl std::str::FromStr for PluginArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((name, file)) if !name.is_empty() && !file.is_empty() => {
                Ok(PluginArg::File(name.to_owned(), file.into()))
            }
            None if Path::new(text).is_dir() => Ok(PluginArg::Folder(text.into())),
            _ => Err("write NAME=FILE, or the path of a directory".to_owned()),
        }
    }
}

/// A build that replaces a plugin's code.
pub struct Artifact {
    /// The file that was examined.
    pub file: PathBuf,
    /// Its path in the new configuration.
    pub path: String,
    pub inspection: Inspection,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Artifact {
    /// Whether it has native code, which the module loads only where its configuration allows it.
    pub fn has_native(&self) -> bool {
        self.inspection.kind == Some(ArtifactKind::Native) || self.inspection.fat.is_some()
    }
}

/// The builds named on the command line.
pub struct Artifacts<'a> {
    pub plugins: &'a [PluginArg],
    /// Directory that the files have where Envoy runs.
    pub install_dir: Option<&'a Path>,
}

impl Artifacts<'_> {
    /// The build for a plugin with these names, the best one first.
    ///
    /// # Errors
    ///
    /// It cannot be read, or would not load.
    pub fn get(&self, names: &[&str]) -> anyhow::Result<Option<Artifact>> {
        names.iter().find_map(|name| self.file(name)).map(|file| self.read(file)).transpose()
    }

    fn file(&self, wanted: &str) -> Option<PathBuf> {
        let named = self.plugins.iter().find_map(|plugin| match plugin {
            PluginArg::File(name, file) if name == wanted => Some(file.clone()),
            _ => None,
        });
        named.or_else(|| {
            let in_folder = |plugin: &PluginArg| match plugin {
                PluginArg::Folder(folder) => {
                    spellings(wanted).map(|name| folder.join(name)).find(|path| path.is_file())
                }
                PluginArg::File(..) => None,
            };
            self.plugins.iter().find_map(in_folder)
        })
    }

    fn read(&self, file: PathBuf) -> anyhow::Result<Artifact> {
        let loader = artifact::loader(dynvm::wasm::Options::default(), None)?;
        let inspection = inspect_file(&loader, &file).map_err(|error| usage(dynvm::with_causes(&error)))?;
        if let Some(refusal) = &inspection.refusal {
            return Err(load_failure(format!("{}: {refusal}", file.display())));
        }
        let bytes = dynvm::Artifact::read(&file).map_err(cannot_load)?.bytes.to_vec();
        let path = match self.install_dir {
            None => std::path::absolute(&file).with_context(|| file.display().to_string())?,
            Some(dir) => dir.join(file.file_name().unwrap_or(file.as_os_str())),
        };
        let path =
            path.to_str().ok_or_else(|| usage(format!("{}: not UTF-8, as Envoy's paths are", path.display())))?;
        Ok(Artifact { path: path.to_owned(), file, inspection, bytes })
    }

    /// Names of `--plugin NAME=FILE` that no plugin has.
    pub fn unused<'a>(&'a self, used: &'a [PathBuf]) -> impl Iterator<Item = &'a str> {
        self.plugins.iter().filter_map(|plugin| match plugin {
            PluginArg::File(name, file) if !used.contains(file) => Some(name.as_str()),
            _ => None,
        })
    }
}

/// Names of the file that Cargo and `dynvm build` give to a plugin's native build.
fn spellings(name: &str) -> impl Iterator<Item = String> {
    let name = name.to_owned();
    [name.clone(), name.replace('-', "_"), name.replace('_', "-")]
        .into_iter()
        .flat_map(|name| [format!("{name}.so"), format!("lib{name}.so")])
}
