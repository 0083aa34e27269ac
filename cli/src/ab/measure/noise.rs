//! What else went on while it was measured.

use std::fs;

use serde::Serialize;

/// What else went on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Noise {
    /// Processes that ran or wanted to, in the mean of a minute, at the start and at the end. This one is among them at the end.
    pub load_start: Option<f64>,
    /// See `load_start`.
    pub load_end: Option<f64>,
    /// The share of the machine's CPU time that a hypervisor gave to others.
    pub steal: Option<f64>,
    /// How often the system put another thread in the place of the measuring one.
    pub preemptions: Option<u64>,
}

/// The state at the start.
pub struct Before {
    load: Option<f64>,
    cpu: Option<CpuTime>,
    preemptions: Option<u64>,
}

impl Before {
    pub fn now() -> Before {
        Before { load: load(), cpu: cpu_time(), preemptions: preemptions() }
    }

    pub fn until_now(&self) -> Noise {
        let steal = self.cpu.zip(cpu_time()).map(|(before, after)| {
            let total = after.total.saturating_sub(before.total).max(1);
            after.steal.saturating_sub(before.steal) as f64 / total as f64
        });
        let preemptions = self.preemptions.zip(preemptions()).map(|(before, after)| after.saturating_sub(before));
        Noise { load_start: self.load, load_end: load(), steal, preemptions }
    }
}

fn load() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}

/// Ticks of all CPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct CpuTime {
    total: u64,
    steal: u64,
}

fn cpu_time() -> Option<CpuTime> {
    parse_cpu_time(&fs::read_to_string("/proc/stat").ok()?)
}

/// The line of all CPUs: user, nice, system, idle, iowait, irq, softirq, steal; guests are counted in user.
fn parse_cpu_time(stat: &str) -> Option<CpuTime> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<u64> = line.split_whitespace().map_while(|tick| tick.parse().ok()).take(8).collect();
    Some(CpuTime { total: ticks.iter().sum(), steal: *ticks.get(7)? })
}

fn preemptions() -> Option<u64> {
    let text = fs::read_to_string("/proc/thread-self/status").ok()?;
    text.lines().find_map(|line| line.strip_prefix("nonvoluntary_ctxt_switches:"))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_all_cpus_is_read() {
        let stat = "cpu  10 20 30 40 50 60 70 80 90 100\ncpu0 1 2 3 4 5 6 7 8 9 10\n";
        assert_eq!(parse_cpu_time(stat), Some(CpuTime { total: 360, steal: 80 }));
        assert_eq!(parse_cpu_time("cpu  1 2 3\n"), None);
        assert_eq!(parse_cpu_time(""), None);
    }
}
