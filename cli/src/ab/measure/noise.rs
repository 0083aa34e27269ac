//! Noise of the machine during a measurement, and the wait for a quiet machine before it.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde::Serialize;

/// Noise of the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Noise {
    /// Time spent waiting for a quiet machine.
    pub waited_ms: u64,
    /// Share of the machine's CPU time that other processes used at the end of the wait.
    pub busy_start: Option<f64>,
    /// Load average over one minute at the start and at the end. This process is included at the end.
    pub load_start: Option<f64>,
    /// See `load_start`.
    pub load_end: Option<f64>,
    /// Share of the machine's CPU time that the hypervisor gave to other guests.
    pub steal: Option<f64>,
    /// Number of preemptions of the measuring thread.
    pub preemptions: Option<u64>,
}

/// Maximum share of CPU time used by others on a quiet machine.
pub const QUIET: f64 = 0.25;

/// Observation window of the quiet check.
const WINDOW: Duration = Duration::from_millis(250);

/// Result of the wait for a quiet machine.
#[derive(Clone, Copy)]
pub struct Wait {
    took: Duration,
    busy: Option<f64>,
}

impl Wait {
    /// Waits until other processes use little CPU time, e.g. until a compiler that just ran has exited.
    ///
    /// The load average is unsuitable: a mean over one minute, it stays high after the machine has become quiet.
    pub fn for_quiet(at_most: Duration) -> Wait {
        Wait::until(at_most, || {
            let before = cpu_time()?;
            sleep(WINDOW);
            Some(cpu_time()?.busy_since(before))
        })
    }

    /// The same with `watch`, which blocks for a while and returns the share of CPU time used meanwhile.
    fn until(at_most: Duration, mut watch: impl FnMut() -> Option<f64>) -> Wait {
        let start = Instant::now();
        loop {
            // The first observation is not counted as waiting.
            let took = start.elapsed();
            let busy = watch();
            if busy.is_none_or(|busy| busy <= QUIET) || took >= at_most {
                return Wait { took, busy };
            }
        }
    }
}

/// State at the start of the measurement.
pub struct Before {
    wait: Wait,
    load: Option<f64>,
    cpu: Option<CpuTime>,
    preemptions: Option<u64>,
}

impl Before {
    pub fn now(wait: Wait) -> Before {
        Before { wait, load: load(), cpu: cpu_time(), preemptions: preemptions() }
    }

    pub fn until_now(&self) -> Noise {
        let steal = self.cpu.zip(cpu_time()).map(|(before, after)| {
            let total = after.total.saturating_sub(before.total).max(1);
            after.steal.saturating_sub(before.steal) as f64 / total as f64
        });
        let preemptions = self.preemptions.zip(preemptions()).map(|(before, after)| after.saturating_sub(before));
        Noise {
            waited_ms: self.wait.took.as_millis() as u64,
            busy_start: self.wait.busy,
            load_start: self.load,
            load_end: load(),
            steal,
            preemptions,
        }
    }
}

fn load() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}

/// Ticks summed over all CPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct CpuTime {
    total: u64,
    idle: u64,
    steal: u64,
}

impl CpuTime {
    /// Share of the time since `before` in which a CPU of this machine was busy.
    fn busy_since(self, before: CpuTime) -> f64 {
        let total = self.total.saturating_sub(before.total).max(1);
        let unused = (self.idle + self.steal).saturating_sub(before.idle + before.steal);
        total.saturating_sub(unused) as f64 / total as f64
    }
}

fn cpu_time() -> Option<CpuTime> {
    parse_cpu_time(&fs::read_to_string("/proc/stat").ok()?)
}

/// Parses the line of all CPUs: user, nice, system, idle, iowait, irq, softirq, steal; user includes guests.
fn parse_cpu_time(stat: &str) -> Option<CpuTime> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<u64> = line.split_whitespace().map_while(|tick| tick.parse().ok()).take(8).collect();
    Some(CpuTime { total: ticks.iter().sum(), idle: ticks.get(3)? + ticks.get(4)?, steal: *ticks.get(7)? })
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
        assert_eq!(parse_cpu_time(stat), Some(CpuTime { total: 360, idle: 90, steal: 80 }));
        assert_eq!(parse_cpu_time("cpu  1 2 3\n"), None);
        assert_eq!(parse_cpu_time(""), None);
        let before = CpuTime { total: 100, idle: 40, steal: 10 };
        let later = CpuTime { total: 300, idle: 180, steal: 20 };
        assert_eq!(later.busy_since(before), 0.25, "150 of 200 ticks were idle or a hypervisor's");
    }

    #[test]
    fn the_wait_ends_with_quiet_or_with_patience() {
        let mut shares = [0.9, 0.8, 0.1].into_iter();
        let wait = Wait::until(Duration::from_secs(60), || shares.next());
        assert_eq!((wait.busy, shares.len()), (Some(0.1), 0), "it ends when the machine is quiet");
        let wait = Wait::until(Duration::from_millis(20), || {
            sleep(Duration::from_millis(5));
            Some(0.9)
        });
        assert!(wait.took >= Duration::from_millis(20) && wait.busy == Some(0.9));
        assert_eq!(Wait::until(Duration::from_secs(60), || None).busy, None, "a system that does not tell");
    }
}
