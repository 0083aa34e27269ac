//! `--policy`: the trust policy for artifacts.

use std::path::PathBuf;

use dynvm::trust::TrustPolicy;

use crate::exit::usage;

#[derive(clap::Args)]
pub struct PolicyArg {
    /// Load only artifacts that this trust policy (TOML) allows; without it, every named artifact is allowed.
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
}

impl PolicyArg {
    pub fn read(&self) -> anyhow::Result<Option<TrustPolicy>> {
        self.policy.as_ref().map(read).transpose()
    }
}

pub fn read(path: &PathBuf) -> anyhow::Result<TrustPolicy> {
    TrustPolicy::from_file(path).map_err(|error| usage(error.to_string()))
}
