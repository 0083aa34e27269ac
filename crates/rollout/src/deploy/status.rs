//! What a deployment says of itself.

use std::time::SystemTime;

use dynvm::ModuleInfo;

/// A deployment as it is now.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DeploymentStatus {
    /// The version that new streams get.
    pub current: VersionStatus,
    /// All versions that are in memory, the current one last. Those before it still have a VM on some thread.
    pub retained: Vec<VersionStatus>,
    /// Reloads that gave a new version.
    pub reloads_succeeded: u64,
    /// Reloads that were refused.
    pub reloads_failed: u64,
    /// The last reload that was refused.
    pub last_error: Option<FailedAttempt>,
    /// How often a version did not start on a worker's thread although it had been tried before.
    pub start_failures: u64,
    /// The last of these.
    pub last_start_failure: Option<FailedAttempt>,
}

/// A version in memory.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct VersionStatus {
    /// Its number: the first is 1, and each version that becomes current has the next.
    pub number: u64,
    /// Its artifact.
    pub module: ModuleInfo,
    /// When it became the current version.
    pub loaded_at: SystemTime,
    /// Its VMs: one on each thread that runs it.
    pub vms: usize,
    /// Streams that run on them.
    pub streams: usize,
}

/// Something that was tried in vain.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FailedAttempt {
    /// When.
    pub at: SystemTime,
    /// Why.
    pub message: String,
}

impl FailedAttempt {
    pub(super) fn now(error: &dyn std::error::Error) -> FailedAttempt {
        FailedAttempt { at: SystemTime::now(), message: dynvm::with_causes(error) }
    }
}
