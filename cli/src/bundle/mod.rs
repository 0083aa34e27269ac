//! `dynvm bundle`: native images into a `.wasm` file, and out of it.
//!
//! | file | idea |
//! |---|---|
//! | [`pack`] | from a module and images to a fat plugin |
//! | [`matching`] | whether the parts are builds of one plugin |
//! | [`sign`] | a minisign secret key, and its password |
//! | [`extract`] | the way back |
//! | [`file`] | files that appear whole or not at all |

mod extract;
mod file;
mod matching;
mod pack;
mod sign;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, ValueEnum};

use crate::exit::{load_failure, usage};

/// Put native images into a .wasm file, or take them out again.
///
/// The result, a fat plugin, is a valid WebAssembly module: any host runs it as before. A host with DynVM runs the native image for its
/// machine, where it allows native plugins. The images must be builds of the same plugin: of the same ABI version, with the same
/// callbacks.
///
/// A fat plugin may be bundled again: its module is kept, its images and its signature are replaced by what is named.
#[derive(Args)]
#[command(after_help = "\
Examples:
  dynvm bundle auth.wasm x86_64=auth.so -o auth-fat.wasm
  dynvm bundle auth.wasm x86_64=auth.so aarch64=auth-arm.so --sign release.key -o auth.wasm
  dynvm bundle --extract auth.wasm --out-dir parts       auth.wasm as it was, auth-x86_64.so, ...
  minisign -Vm parts/auth.manifest -p release.pub        after --extract of a signed one

Exit codes: 0 done, 2 wrong usage or a file cannot be read or written, 3 a part would not load or the parts do not fit together.")]
pub struct BundleArgs {
    /// The wasm module, or a fat plugin.
    #[arg(value_name = "FILE.wasm")]
    module: PathBuf,
    /// A native image and the machine that it was built for: x86_64=plugin.so.
    #[arg(value_name = "MACHINE=FILE.so", required_unless_present = "extract", conflicts_with = "extract")]
    images: Vec<String>,
    /// Where to write the fat plugin. It appears whole or not at all; FILE.wasm itself is allowed.
    #[arg(short, long, value_name = "FILE", required_unless_present = "extract", conflicts_with = "extract")]
    output: Option<PathBuf>,
    /// Sign it with this minisign secret key. The password is taken from MINISIGN_PASSWORD, else asked for at the terminal; a key may be
    /// without.
    #[arg(long, value_name = "KEY", conflicts_with = "extract")]
    sign: Option<PathBuf>,
    /// Take FILE.wasm apart.
    #[arg(long, requires = "out_dir")]
    extract: bool,
    /// Where to put the parts. It is made if need be.
    #[arg(long, value_name = "DIR", requires = "extract")]
    out_dir: Option<PathBuf>,
    /// How to print the result.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
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

/// A failure that is a file's own.
fn fault_of(path: &Path, what: impl std::fmt::Display) -> anyhow::Error {
    load_failure(format!("{}: {what}", path.display()))
}
