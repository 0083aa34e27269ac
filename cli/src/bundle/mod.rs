//! `dynvm bundle`: adds native images to a `.wasm` file and extracts them.
//!
//! | file | idea |
//! |---|---|
//! | [`pack`] | builds a fat plugin from a module and images |
//! | [`matching`] | checks that the parts are builds of one plugin |
//! | [`sign`] | reads a minisign secret key and its password |
//! | [`extract`] | splits a fat plugin into its parts |

mod extract;
mod matching;
mod pack;
mod sign;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, ValueEnum};

use crate::exit::{load_failure, usage};

/// Add native images to a .wasm file, or extract them.
///
/// The result, a fat plugin, is a valid WebAssembly module that every host runs as before. A host with DynVM
/// runs the native image for its machine if it allows native plugins. The images must be builds of the same
/// plugin, with the same ABI version and callbacks.
///
/// Bundling a fat plugin again keeps its module and replaces its images and its signature.
#[derive(Args)]
#[command(after_help = "\
Examples:
  dynvm bundle auth.wasm x86_64=auth.so -o auth-fat.wasm
  dynvm bundle auth.wasm x86_64=auth.so aarch64=auth-arm.so --sign release.key -o auth.wasm
  dynvm bundle --extract auth.wasm --out-dir parts       the original auth.wasm, auth-x86_64.so, ...
  minisign -Vm parts/auth.manifest -p release.pub        after --extract of a signed file

Exit codes: 0 success, 2 wrong usage or a file cannot be read or written, 3 a part would not load or the parts do not match.")]
pub struct BundleArgs {
    /// Wasm module or fat plugin.
    #[arg(value_name = "FILE.wasm")]
    module: PathBuf,
    /// Native image with the machine it was built for, e.g. x86_64=plugin.so.
    #[arg(value_name = "MACHINE=FILE.so", required_unless_present = "extract", conflicts_with = "extract")]
    images: Vec<String>,
    /// Output file, written atomically; may be FILE.wasm itself.
    #[arg(short, long, value_name = "FILE", required_unless_present = "extract", conflicts_with = "extract")]
    output: Option<PathBuf>,
    /// Sign with this minisign secret key. The password comes from MINISIGN_PASSWORD or from a prompt; keys
    /// without a password need none.
    #[arg(long, value_name = "KEY", conflicts_with = "extract")]
    sign: Option<PathBuf>,
    /// Extract the parts of FILE.wasm.
    #[arg(long, requires = "out_dir")]
    extract: bool,
    /// Directory for the parts; created if missing.
    #[arg(long, value_name = "DIR", requires = "extract")]
    out_dir: Option<PathBuf>,
    /// Output format.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Human-readable.
    Text,
    /// One JSON object.
    Json,
}

pub fn execute(args: &BundleArgs) -> Result<ExitCode> {
    match (&args.out_dir, &args.output) {
        (Some(out_dir), _) => extract::extract(&args.module, out_dir, args.format)?,
        (None, Some(output)) => pack::pack(&args.module, &args.images, args.sign.as_deref(), output, args.format)?,
        (None, None) => {
            return Err(usage("name the file to write (--output), or a directory to extract to (--out-dir)"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| usage(format!("{}: cannot be read: {error}", path.display())))
}

/// A load failure caused by this file.
fn fault_of(path: &Path, what: impl std::fmt::Display) -> anyhow::Error {
    load_failure(format!("{}: {what}", path.display()))
}
