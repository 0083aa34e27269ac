//! Binds the measuring thread to a CPU.

use core_affinity::CoreId;

use crate::exit::usage;

/// Checks that this process may run on a CPU.
///
/// # Errors
///
/// Not permitted, or no such CPU.
pub fn check(cpu: usize) -> anyhow::Result<()> {
    let Some(cpus) = core_affinity::get_core_ids() else {
        return Err(usage("--pin: the CPUs that this process may use are unknown"));
    };
    if cpus.contains(&CoreId { id: cpu }) {
        return Ok(());
    }
    let cpus: Vec<String> = cpus.iter().map(|cpu| cpu.id.to_string()).collect();
    Err(usage(format!("--pin {cpu}: this process may use only the CPUs {}", cpus.join(", "))))
}

/// Binds this thread to a CPU.
pub fn pin(cpu: usize) -> anyhow::Result<()> {
    if core_affinity::set_for_current(CoreId { id: cpu }) {
        return Ok(());
    }
    Err(usage(format!("--pin {cpu}: the system refused to bind the thread to this CPU")))
}
