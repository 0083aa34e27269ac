//! Binding the measuring thread to a CPU.

use core_affinity::CoreId;

use crate::exit::usage;

/// Checks that this process may run on a CPU.
///
/// # Errors
///
/// It may not, or there is none of that number.
pub fn check(cpu: usize) -> anyhow::Result<()> {
    let Some(cpus) = core_affinity::get_core_ids() else {
        return Err(usage("--pin: the system does not tell on which CPUs this process may run"));
    };
    if cpus.contains(&CoreId { id: cpu }) {
        return Ok(());
    }
    let cpus: Vec<String> = cpus.iter().map(|cpu| cpu.id.to_string()).collect();
    Err(usage(format!("--pin {cpu}: this process may run on the CPUs {}", cpus.join(", "))))
}

/// Binds this thread to a CPU from now on.
pub fn pin(cpu: usize) -> anyhow::Result<()> {
    if core_affinity::set_for_current(CoreId { id: cpu }) {
        return Ok(());
    }
    Err(usage(format!("--pin {cpu}: the system does not let this thread be bound to that CPU")))
}
