//! Status of a deployment.

use std::time::SystemTime;

use dynvm::ModuleInfo;

/// A snapshot of a deployment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DeploymentStatus {
    /// The version that serves new streams.
    pub current: VersionStatus,
    /// All versions in memory, the current one last. Older ones still have a VM on some thread.
    pub retained: Vec<VersionStatus>,
    /// Reloads that produced a new version.
    pub reloads_succeeded: u64,
    /// Refused reloads.
    pub reloads_failed: u64,
    /// The last refused reload.
    pub last_error: Option<FailedAttempt>,
    /// Failed starts on worker threads, of versions whose trial had succeeded.
    pub start_failures: u64,
    /// The last such failure.
    pub last_start_failure: Option<FailedAttempt>,
}

/// A version in memory.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct VersionStatus {
    /// Version number: the first version is 1, and each new current version increments it.
    pub number: u64,
    /// Description of the artifact.
    pub module: ModuleInfo,
    /// Time when it became current.
    pub loaded_at: SystemTime,
    /// Its VMs, one per thread that runs it.
    pub vms: usize,
    /// Streams running on these VMs.
    pub streams: usize,
}

/// A failed attempt.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FailedAttempt {
    /// Time of the attempt.
    pub at: SystemTime,
    /// Error message with its causes.
    pub message: String,
}

impl FailedAttempt {
    pub(super) fn now(error: &dyn std::error::Error) -> FailedAttempt {
        FailedAttempt { at: SystemTime::now(), message: dynvm::with_causes(error) }
    }
}
