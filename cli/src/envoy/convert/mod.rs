//! `dynvm envoy convert`: replaces Envoy's wasm filters by the dynamic module, in a configuration that otherwise keeps
//! its text.
//!
//! ```text
//!   yaml        nodes with their places in the text
//!   find        wasm plugins in the nodes
//!   artifacts   the builds that replace their code
//!   rewrite     the edits for one plugin
//!   edit        edits of a text
//!   differences what will behave differently
//!   report      what was done
//! ```

mod artifacts;
mod differences;
mod edit;
mod find;
mod report;
mod rewrite;
mod yaml;

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;

use crate::exit::{DIFFERS, usage};
use crate::file::Pending;
use artifacts::{Artifacts, PluginArg};
use find::{Found, Kind, Site};
use report::{Converted, Discovery, Left, Report};
use rewrite::{Module, Rewriter};
use yaml::{Mistake, Node};

/// Replace the wasm filters of an Envoy configuration by DynVM's dynamic module.
///
/// Finds the HTTP filters, network filters and access loggers that run a plugin in V8, in all documents of the file:
/// in listeners, routes, discovered resources, and objects of Kubernetes. Each plugin with an artifact (--plugin) gets
/// the module's configuration, with its own PluginConfig kept; all other text stays as it is, byte by byte. Plugins
/// without an artifact stay in V8. The new configuration goes to standard output, and what will behave differently to
/// standard error.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  dynvm envoy convert envoy.yaml --plugin auth=target/libauth.so --diff
  dynvm envoy convert envoy.yaml --plugin /opt/plugins -o envoy-dynvm.yaml
  dynvm envoy convert envoy.yaml --plugin dist --install-dir /etc/envoy/plugins --in-place
  dynvm envoy convert envoy.yaml --plugin auth=auth.wasm        the same .wasm, run by the module

Exit codes: 0 all plugins are converted, 1 some stay in V8, 2 wrong usage or an invalid configuration,
3 an artifact cannot be loaded.")]
pub struct ConvertArgs {
    /// Configuration of Envoy in YAML or JSON; - reads standard input.
    #[arg(value_name = "CONFIG")]
    config: PathBuf,
    /// Artifact for the plugin of this name, or a directory with NAME.so or libNAME.so for any plugin. A plugin's NAME
    /// is its `name`, its `root_id`, or the name of its code file without extension. Repeatable.
    #[arg(long = "plugin", value_name = "NAME=FILE|DIR")]
    plugins: Vec<PluginArg>,
    /// Directory of the artifacts where Envoy runs [default: where they are now].
    #[arg(long, value_name = "DIR")]
    install_dir: Option<PathBuf>,
    /// Path of libdynvm_envoy.so where Envoy runs [default: Envoy looks in ENVOY_DYNAMIC_MODULES_SEARCH_PATH].
    #[arg(long, value_name = "FILE")]
    module: Option<String>,
    /// File for the new configuration.
    #[arg(long, short, value_name = "FILE", conflicts_with_all = ["in_place", "diff"])]
    output: Option<PathBuf>,
    /// Replace the configuration file.
    #[arg(long, conflicts_with = "diff")]
    in_place: bool,
    /// Print the changes as a unified diff, and write nothing.
    #[arg(long)]
    diff: bool,
    /// Output format. `json` prints one object, which includes the new configuration or the diff.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Human-readable.
    Text,
    /// One JSON object.
    Json,
}

pub fn execute(args: &ConvertArgs) -> anyhow::Result<ExitCode> {
    let is_stdin = args.config == Path::new("-");
    if is_stdin && args.in_place {
        return Err(usage("--in-place needs a file; standard input has no place"));
    }
    let name = if is_stdin { "standard input".to_owned() } else { args.config.display().to_string() };
    let text = read(&args.config).map_err(|error| usage(format!("{name}: {error:#}")))?;
    let at = |mistake: Mistake| usage(format!("{name}:{}: {}", mistake.place, mistake.message));
    let documents = yaml::load(&text).map_err(at)?;
    let found = find::find(&documents).map_err(at)?;

    let mut report = Report::new(&name);
    let converted = convert(&text, &found, args, &mut report)?;
    // A second look with the parser, at what Envoy will read.
    let is_valid = yaml::load(&converted).is_ok_and(|new| new.len() == documents.len());
    if !is_valid {
        return Err(usage(format!("{name}: the text around a plugin is too unusual to be edited; convert it by hand")));
    }
    let diff = similar::TextDiff::from_lines(text.as_str(), converted.as_str());
    let diff = diff.unified_diff().header(&name, &name).to_string();
    let written = match &args.output {
        Some(path) => Some(path.as_path()),
        None if args.in_place => Some(args.config.as_path()),
        None => None,
    };
    if let Some(path) = written {
        Pending::write(path, converted.as_bytes())?.commit()?;
    }
    let shown =
        if args.diff { Some(("diff", diff)) } else { written.is_none().then_some(("configuration", converted)) };
    match args.format {
        Format::Json => println!("{}", report.json(shown)?),
        Format::Text => {
            report.print();
            if let Some((_, shown)) = &shown {
                std::io::stdout().write_all(shown.as_bytes())?;
            }
        }
    }
    Ok(if report.left.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(DIFFERS) })
}

fn read(path: &Path) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    if path == Path::new("-") {
        std::io::stdin().lock().read_to_end(&mut bytes).context("cannot be read")?;
    } else {
        bytes = std::fs::read(path).context("cannot be read")?;
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = String::from_utf8_lossy(&error.as_bytes()[..error.utf8_error().valid_up_to()]).into_owned();
        let line = valid.matches('\n').count() + 1;
        anyhow::anyhow!("line {line} is not UTF-8")
    })
}

/// The new text.
fn convert(text: &str, found: &Found, args: &ConvertArgs, report: &mut Report) -> anyhow::Result<String> {
    let module = args.module.clone().map_or(Module::Name, Module::Path);
    let carrier = Carrier::find(args.module.as_deref());
    let artifacts = Artifacts { plugins: &args.plugins, install_dir: args.install_dir.as_deref() };
    let mut rewriter = Rewriter::new(text, &module);
    let mut used = Vec::new();
    for site in &found.sites {
        let plugin = Plugin::of(site);
        let obstacle = plugin.obstacle().or_else(|| carrier.obstacle(site.kind));
        let artifact = match obstacle {
            Some(reason) => Err(reason),
            None => artifacts.get(&plugin.names)?.ok_or_else(|| plugin.wanted()),
        };
        match artifact {
            Ok(artifact) => {
                rewriter.site(site, plugin.name(), &artifact.path, artifact.has_native());
                report.converted.push(Converted::new(site, &plugin, &artifact));
                used.push(artifact.file);
            }
            Err(reason) => report.left.push(Left::new(&site.ty, site.kind.title(), plugin.name(), reason)),
        }
    }
    if let Some(name) = artifacts.unused(&used).next() {
        return Err(usage(format!("--plugin {name}: {} has no wasm plugin of this name{}", report.file, names(found))));
    }
    for (node, what) in &found.others {
        report.left.push(Left::new(node, what, "", "the module has no place for it".to_owned()));
    }
    for (kind, node) in &found.names {
        // A name that plugins in V8 share stays for all.
        let stays = found.sites.iter().zip(report.is_converted(found)).any(|(site, done)| site.kind == *kind && !done);
        if !stays && found.sites.iter().any(|site| site.kind == *kind) {
            let [old, new] = kind.names();
            rewriter.rename(node, old, new);
        }
    }
    for (kind, list, item) in &found.discovered {
        rewriter.discovered(*kind, list, item);
        report.discovery.push(Discovery { place: item.node.place, added: kind.types()[1] });
    }
    let unusual = || usage(format!("{}: two plugins share text that cannot be edited for both", report.file));
    rewriter.edits.apply(text).ok_or_else(unusual)
}

/// The module's file, if it is on this machine.
struct Carrier(Option<Vec<u8>>);

impl Carrier {
    fn find(named: Option<&str>) -> Carrier {
        let path = named.map(PathBuf::from).or_else(super::trial::module_beside);
        Carrier(path.and_then(|path| std::fs::read(path).ok()))
    }

    /// Why it cannot carry a kind of plugin.
    fn obstacle(&self, kind: Kind) -> Option<String> {
        let (module, hook) = (self.0.as_deref()?, kind.hook().as_bytes());
        let can = module.windows(hook.len()).any(|window| window == hook);
        (!can).then(|| format!("the module at hand has no {}s", kind.title()))
    }
}

/// The names of the plugins, for a message.
fn names(found: &Found) -> String {
    let mut names: Vec<&str> =
        found.sites.iter().map(|site| Plugin::of(site).name()).filter(|name| !name.is_empty()).collect();
    names.dedup();
    if names.is_empty() { String::new() } else { format!("; its plugins are {}", names.join(", ")) }
}

/// A plugin as its configuration describes it.
pub struct Plugin<'a> {
    config: &'a Node,
    /// Its names, the best one first.
    names: Vec<&'a str>,
    /// Where its code is, as a text.
    code: Option<&'a str>,
}

impl<'a> Plugin<'a> {
    fn of(site: &'a Site) -> Plugin<'a> {
        let config: &Node = &site.config.1.node;
        let text = |names: &[&str]| config.field(names).and_then(|node| node.text());
        let code = config.field(&["vm_config", "vmConfig"]).and_then(|vm| vm.field(&["code"]));
        let code = code.and_then(|code| {
            let local = code.field(&["local"]).and_then(|local| local.field(&["filename"]));
            let uri = || code.field(&["remote"])?.field(&["http_uri", "httpUri"])?.field(&["uri"]);
            local.or_else(uri)?.text()
        });
        let stem = code.and_then(|code| Path::new(code).file_stem()?.to_str());
        let names = [text(&["name"]), text(&["root_id", "rootId"]), stem];
        Plugin { config, names: names.into_iter().flatten().filter(|name| !name.is_empty()).collect(), code }
    }

    fn name(&self) -> &'a str {
        self.names.first().copied().unwrap_or_default()
    }

    /// Why it cannot be converted, whatever its artifact.
    fn obstacle(&self) -> Option<String> {
        let Some(vm) = self.config.field(&["vm_config", "vmConfig"]) else {
            return Some("it has no vm_config".to_owned());
        };
        if vm.field(&["code"]).is_none() {
            return Some("its vm_config has no code".to_owned());
        }
        [self.config, vm].into_iter().find_map(|owner| {
            let configuration = owner.field(&["configuration"])?;
            let ty = configuration.field(&["@type"])?.text()?;
            let known = ["StringValue", "BytesValue", "Struct", "Value"].map(|name| format!("google.protobuf.{name}"));
            let is_known = known.iter().any(|name| ty.rsplit('/').next() == Some(name));
            (!is_known)
                .then(|| format!("its configuration is a {ty}; the module takes StringValue, BytesValue and Struct"))
        })
    }

    /// How to name an artifact.
    fn wanted(&self) -> String {
        match self.names.first() {
            Some(name) => format!("no artifact: add --plugin {name}=FILE"),
            None => "no artifact, and the plugin has no name: give it one".to_owned(),
        }
    }
}
