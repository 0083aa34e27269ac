//! A plugin to be linked into a program: options and steps.

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use dynvm_abi::descriptor::{DESCRIPTOR_SYMBOL, StateModel};
use dynvm_abi::host::SET_HOST_SYMBOL;
use dynvm_abi::table::{CALLBACKS, ENTRY_POINTS};
use dynvm_abi::version::AbiVersion;
use dynvm_build::{BuildOptions, Quiet, Source};
use sha2::{Digest as _, Sha256};

use crate::archive::{self, Member};
use crate::descriptor::Descriptor;
use crate::linker::Linker;
use crate::rewrite::{self, Rewritten};
use crate::target::Target;
use crate::{LinkError, check, layout, libraries, linker, state};

/// A plugin in a directory: a Cargo package, or C and C++.
pub fn plugin(path: impl Into<PathBuf>) -> Plugin {
    Plugin {
        path: path.into(),
        name: None,
        slots: None,
        state_model: None,
        sdk: None,
        libraries: Vec::new(),
        build: BuildOptions::default(),
    }
}

/// A plugin and how to link it. Begins with [`plugin`].
#[derive(Clone, Debug)]
#[must_use = "nothing is linked before `emit`"]
pub struct Plugin {
    path: PathBuf,
    name: Option<String>,
    slots: Option<usize>,
    state_model: Option<StateModel>,
    sdk: Option<PathBuf>,
    libraries: Vec<String>,
    build: BuildOptions,
}

/// What was written.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Output {
    /// The name of the plugin.
    pub name: String,
    /// The static library.
    pub library: PathBuf,
    /// The Rust source with the plugin's descriptor.
    pub source: PathBuf,
    /// The same as a header in C.
    pub header: PathBuf,
    /// How many VMs can run at a time, each on its own copy of the plugin; `None`: any number, which share the plugin's statics.
    pub slots: Option<usize>,
    /// Statics of a plugin in Rust, apart from those of the standard library and the SDK.
    pub statics: Vec<String>,
    /// Libraries of the system that the program has to be linked with.
    pub needed: Vec<String>,
    /// Files that the plugin was built from.
    pub inputs: Vec<PathBuf>,
    /// What the author of the program should know.
    pub notes: Vec<String>,
}

impl Plugin {
    /// The name under which the loader knows the plugin, and of the generated file. The default is the name of the package or directory.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Links this many copies of the plugin, so that as many VMs can run at a time although it keeps state in statics.
    pub fn slots(mut self, count: usize) -> Self {
        self.slots = Some(count);
        self
    }

    /// Where the plugin keeps its state. The default is what its [descriptor](dynvm_abi::descriptor) says; without one, a Rust plugin
    /// has its state [per thread](StateModel::PerThread) if it has no statics of its own, and every other plugin
    /// [per image](StateModel::PerImage).
    ///
    /// With `PerThread`, all VMs share the plugin's statics.
    pub fn state(mut self, model: StateModel) -> Self {
        self.state_model = Some(model);
        self
    }

    /// The directory of the C++ SDK: its headers are found, and its `proxy_wasm_intrinsics.cc` is compiled with the plugin.
    pub fn sdk(mut self, dir: impl Into<PathBuf>) -> Self {
        self.sdk = Some(dir.into());
        self
    }

    /// A directory of headers for C and C++.
    pub fn include(mut self, dir: impl Into<PathBuf>) -> Self {
        self.build.include.push(dir.into());
        self
    }

    /// A feature of the Cargo package.
    pub fn feature(mut self, name: impl Into<String>) -> Self {
        self.build.features.push(name.into());
        self
    }

    /// A library of the system that the plugin needs, such as `z`.
    pub fn library(mut self, name: impl Into<String>) -> Self {
        self.libraries.push(name.into());
        self
    }

    /// The directory of intermediate files. The default is one below the directory of the results.
    pub fn target_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.build.target_dir = Some(dir.into());
        self
    }

    /// Builds the plugin without optimization.
    pub fn debug(mut self) -> Self {
        self.build.debug = true;
        self
    }

    /// Links the plugin for the program whose build script runs, and prints what cargo has to know.
    ///
    /// # Errors
    ///
    /// The plugin was not built, or cannot be part of a program; the message names the plugin and says what to do.
    pub fn emit(self) -> Result<(), LinkError> {
        let output = self.link(&Target::of_build_script()?)?;
        for note in &output.notes {
            println!("cargo::warning={note}");
        }
        for input in &output.inputs {
            println!("cargo::rerun-if-changed={}", input.display());
        }
        for variable in ["CC", "CXX", "CFLAGS", "CXXFLAGS", "DYNVM_LLD"] {
            println!("cargo::rerun-if-env-changed={variable}");
        }
        let dir = output.library.parent().unwrap_or(Path::new("."));
        println!("cargo::rustc-link-search=native={}", dir.display());
        Ok(())
    }

    /// Links the plugin for a target.
    ///
    /// # Errors
    ///
    /// As [`emit`](Plugin::emit).
    pub fn link(&self, target: &Target) -> Result<Output, LinkError> {
        let linked = self.try_link(target);
        Ok(linked.with_context(|| format!("the plugin {} was not linked", self.path.display()))?)
    }

    fn try_link(&self, target: &Target) -> Result<Output> {
        ensure!(
            target.triple.contains("-linux-") && ["x86_64", "aarch64"].contains(&target.architecture()),
            "plugins can be linked for Linux on x86_64 and aarch64, not for {}: load it as wasm there",
            target.triple
        );
        let lld = Linker::find()?;
        let source = self.source()?;
        let name = self.name.clone().unwrap_or(source.name().to_owned());
        ensure!(
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)),
            "{name:?} is not a name for symbols and files: choose letters, digits, dashes and underscores with `.name(..)`"
        );
        let is_cxx = matches!(&source, Source::Files(files) if files.has_cxx());
        let is_rust = matches!(&source, Source::Cargo(_));

        let has_compiler = |variable| std::env::var_os(variable).is_some_and(|value| !value.is_empty());
        ensure!(
            is_rust || has_compiler("CC") || has_compiler("CXX") || linker::host().as_ref() == Some(&target.triple),
            "this machine's C and C++ compilers do not build for {}: set CC and CXX to compilers that do",
            target.triple
        );

        // Apart from the program's own: cargo holds a lock on that.
        let dir = self.build.target_dir.clone().unwrap_or_else(|| target.out_dir.join("dynvm-link"));
        for dir in [&dir, &target.out_dir] {
            fs::create_dir_all(dir).with_context(|| format!("{} cannot be created", dir.display()))?;
        }
        let mut options = self.build.clone();
        options.target_dir = Some(dir.clone());
        options.include.extend(self.sdk.clone());
        let objects = dynvm_build::objects(&source, &target.triple, &options, &Quiet)?;

        let mut notes = Vec::new();
        let roots = roots(&objects.files)?;
        let join = |statics: bool| -> Result<Vec<u8>> {
            let script = dir.join(format!("{name}.ld"));
            let joined = dir.join(format!("{name}.o"));
            fs::write(&script, layout::script(statics))
                .with_context(|| format!("{} cannot be written", script.display()))?;
            lld.join(&objects.files, &script, &roots, target.debug_info, &joined)?;
            fs::read(&joined).with_context(|| format!("{} cannot be read", joined.display()))
        };
        let mut joined = join(false)?;
        let statics: Vec<String> = if is_rust { state::statics(&joined)?.into_iter().collect() } else { Vec::new() };
        let state_model = self.state_model(&joined, is_rust, &statics, &name, &mut notes)?;
        if state_model == StateModel::PerImage {
            let others = rewrite::other_variables(&joined)?;
            ensure!(
                others.is_empty(),
                "its statics in {} could not be set back for another VM: keep them in the usual sections, or declare that VMs may \
                 share them with `.state(StateModel::PerThread)`",
                others.join(", ")
            );
            joined = join(true)?;
        }

        let slots = self.rewrite(&joined, &name, state_model)?;
        let abi_version = check::abi_version(&slots[0].exports)?;
        let needed: Vec<String> =
            is_cxx.then(|| "stdc++".to_owned()).into_iter().chain(self.libraries.clone()).collect();
        let defined = libraries::defined(target, is_cxx, &self.libraries)?;
        for slot in &slots {
            check::check(slot, abi_version, defined.as_ref())?;
        }

        let library_name = library_name(&name);
        let library = target.out_dir.join(format!("lib{library_name}.a"));
        write_library(&library, &slots).with_context(|| format!("{} cannot be written", library.display()))?;
        let digest = Sha256::digest(&joined).into();
        let descriptor = Descriptor {
            name: &name,
            library: &library_name,
            needed: &needed,
            digest,
            size: joined.len(),
            abi_version,
            state_model,
            slots: &slots,
        };
        let source = target.out_dir.join(format!("{name}.rs"));
        let header = target.out_dir.join(format!("{name}.h"));
        for (path, text) in [(&source, descriptor.source()), (&header, descriptor.header())] {
            fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))?;
        }
        // The headers of the ABI are written for each build.
        let inputs = objects.sources.into_iter().filter(|input| !input.starts_with(&target.out_dir)).collect();
        let slots = (state_model == StateModel::PerImage).then_some(slots.len());
        Ok(Output { name, library, source, header, slots, statics, needed, inputs, notes })
    }

    fn source(&self) -> Result<Source> {
        let mut source = Source::find(&self.path)?;
        match (&mut source, &self.sdk) {
            (Source::Files(files), Some(sdk)) => {
                let intrinsics = sdk.join("proxy_wasm_intrinsics.cc");
                let intrinsics = intrinsics.canonicalize().with_context(|| {
                    format!("{} is not the C++ SDK: {} cannot be read", sdk.display(), intrinsics.display())
                })?;
                files.files.push(intrinsics);
            }
            (Source::Cargo(package), Some(_)) => {
                anyhow::bail!(
                    "{} is a Cargo package, whose SDK is among its dependencies: remove `.sdk(..)`",
                    package.name
                )
            }
            (_, None) => {}
        }
        Ok(source)
    }

    fn state_model(
        &self,
        joined: &[u8],
        is_rust: bool,
        statics: &[String],
        name: &str,
        notes: &mut Vec<String>,
    ) -> Result<StateModel> {
        if let Some(model) = self.state_model {
            ensure!(
                model == StateModel::PerImage || self.slots.is_none(),
                "with `.state(StateModel::PerThread)` all VMs share one copy: remove `.slots(..)`, or the other"
            );
            return Ok(model);
        }
        if self.slots.is_some() {
            return Ok(StateModel::PerImage);
        }
        if let Some(model) = state::declared(joined)? {
            return Ok(model);
        }
        if !is_rust {
            return Ok(StateModel::PerImage);
        }
        if statics.is_empty() {
            return Ok(StateModel::PerThread);
        }
        notes.push(format!(
            "{name} has statics ({}), so one VM of it can run at a time: choose how many with `.slots(..)` or `--slots`, or declare \
             that VMs may share them with `.state(StateModel::PerThread)` or `--share-statics`",
            check::some(statics)
        ));
        Ok(StateModel::PerImage)
    }

    fn rewrite(&self, joined: &[u8], name: &str, state_model: StateModel) -> Result<Vec<Rewritten>> {
        let count = self.slots.unwrap_or(1);
        ensure!((1..=256).contains(&count), "{count} slots are asked for: 1 to 256 are possible");
        let identifier = identifier(name);
        let slots = (0..count).map(|index| {
            let number = if index == 0 { String::new() } else { format!("slot{index}_") };
            let prefix = format!("dvn_{identifier}_{number}");
            rewrite::rewrite(joined, &prefix, &exports(), state_model == StateModel::PerImage)
        });
        slots.collect()
    }
}

/// The names that stay visible, if the plugin defines them.
fn exports() -> Vec<String> {
    let functions = CALLBACKS.iter().chain(ENTRY_POINTS).map(|function| function.name);
    let markers = AbiVersion::ALL.map(AbiVersion::marker);
    functions.chain(markers).chain([DESCRIPTOR_SYMBOL, SET_HOST_SYMBOL]).map(str::to_owned).collect()
}

/// What to take out of a static library: the exports that it has. Objects are taken as they are.
fn roots(files: &[PathBuf]) -> Result<Vec<String>> {
    let mut roots = Vec::new();
    for library in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "a")) {
        let defined = libraries::of_archive(library)?;
        roots.extend(exports().into_iter().filter(|name| defined.contains(name)));
    }
    Ok(roots)
}

fn write_library(path: &Path, slots: &[Rewritten]) -> std::io::Result<()> {
    let members: Vec<_> = slots
        .iter()
        .enumerate()
        .map(|(index, slot)| Member { name: format!("{index}.o"), content: &slot.bytes, symbols: slot.globals() })
        .collect();
    let mut file = BufWriter::new(File::create(path)?);
    archive::write(&mut file, &members)?;
    file.flush()
}

fn library_name(name: &str) -> String {
    format!("dvn_{}", identifier(name))
}

fn identifier(name: &str) -> String {
    name.replace(['-', '.'], "_")
}
