//! Memory per additional VM.

use dynvm_sim::SimProxy;

use super::pass;
use super::statistics::Estimate;
use crate::ab::Side;
use crate::scenario::Scenario;

/// VMs that warm up the allocator, and those that are counted, in groups.
const FIRST: usize = 4;
const GROUPS: usize = 8;
const GROUP: usize = 4;

/// Bytes per VM, native and wasm: the growth of the process over many VMs that each serve one pass
/// of the traffic. The interval is that of groups of VMs.
///
/// `None`: unknown on this system.
pub fn of_one_more_vm(sides: &[Side; 2], scenario: &Scenario) -> anyhow::Result<[Option<Estimate>; 2]> {
    // The first side's VMs stay alive, because the second side's would otherwise reuse their freed memory.
    let mut hosts = Vec::new();
    Ok([growth(&sides[0], scenario, &mut hosts)?, growth(&sides[1], scenario, &mut hosts)?])
}

fn growth(side: &Side, scenario: &Scenario, hosts: &mut Vec<SimProxy>) -> anyhow::Result<Option<Estimate>> {
    let mut start = |many: usize| -> anyhow::Result<()> {
        for _ in 0..many {
            let mut host = side.host(scenario)?;
            let start = host.checkpoint();
            pass(&mut host, &start, scenario, &mut |_, _| ())?;
            hosts.push(host);
        }
        Ok(())
    };
    start(FIRST)?;
    let Some(before) = resident() else { return Ok(None) };
    let mut last = before;
    let mut growths = Vec::new();
    for _ in 0..GROUPS {
        start(GROUP)?;
        let now = resident().unwrap_or(last);
        growths.push(now.saturating_sub(last) as f64 / GROUP as f64);
        last = now;
    }
    let value = last.saturating_sub(before) as f64 / (GROUPS * GROUP) as f64;
    let groups = Estimate::median_of(&growths);
    // Allocators grow in steps, so the mean may be far from the median of the groups.
    Ok(groups.map(|groups| Estimate {
        value,
        low: groups.low.map(|low| low.min(value)),
        high: groups.high.map(|high| high.max(value)),
    }))
}

/// Private memory of this process plus its part of shared memory, in bytes.
fn resident() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}
