//! What else went on while it was measured, and the wait before it for a quiet machine.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde::Serialize;

/// What else went on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Noise {
    /// How long it was waited for a quiet machine.
    pub waited_ms: u64,
    /// The share of the machine's CPU time that other processes used at the end of the wait.
    pub busy_start: Option<f64>,
    /// Processes that ran or wanted to, in the mean of a minute, at the start and at the end. This one is among them at the end.
    pub load_start: Option<f64>,
    /// See `load_start`.
    pub load_end: Option<f64>,
    /// The share of the machine's CPU time that a hypervisor gave to others.
    pub steal: Option<f64>,
    /// How often the system put another thread in the place of the measuring one.
    pub preemptions: Option<u64>,
}

/// The share of the machine's CPU time up to which it is quiet.
pub const QUIET: f64 = 0.25;

/// How long the machine is watched to tell whether it is quiet.
const WINDOW: Duration = Duration::from_millis(250);

/// A wait for a quiet machine.
#[derive(Clone, Copy)]
pub struct Wait {
    took: Duration,
    busy: Option<f64>,
}

impl Wait {
    /// Waits until other processes use little CPU time, as when a compiler that ran just before has ended.
    ///
    /// The load average cannot tell: it is the mean of a minute, so it is still high when the machine has become quiet.
    pub fn for_quiet(at_most: Duration) -> Wait {
        Wait::until(at_most, || {
            let before = cpu_time()?;
            sleep(WINDOW);
            Some(cpu_time()?.busy_since(before))
        })
    }

    /// The same with `watch`, which takes a while and returns the share of CPU time that was used in it.
    fn until(at_most: Duration, mut watch: impl FnMut() -> Option<f64>) -> Wait {
        let start = Instant::now();
        loop {
            // What the first look takes is not a wait.
            let took = start.elapsed();
            let busy = watch();
            if busy.is_none_or(|busy| busy <= QUIET) || took >= at_most {
                return Wait { took, busy };
            }
        }
    }
}

/// The state at the start.
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

/// Ticks of all CPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct CpuTime {
    total: u64,
    idle: u64,
    steal: u64,
}

impl CpuTime {
    /// The share of the time since then in which a CPU was used here.
    fn busy_since(self, before: CpuTime) -> f64 {
        let total = self.total.saturating_sub(before.total).max(1);
        let unused = (self.idle + self.steal).saturating_sub(before.idle + before.steal);
        total.saturating_sub(unused) as f64 / total as f64
    }
}

fn cpu_time() -> Option<CpuTime> {
    parse_cpu_time(&fs::read_to_string("/proc/stat").ok()?)
}

/// The line of all CPUs: user, nice, system, idle, iowait, irq, softirq, steal; guests are counted in user.
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
