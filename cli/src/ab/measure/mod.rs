//! Times, instructions and memory of both builds, so that the numbers hold on machines that are not quiet.
//!
//! Whatever is compared takes turns, and every measurement is cut into blocks ([`turns`]). A number is the median of what the blocks gave, with
//! the interval of confidence of that median ([`statistics`]); a ratio is the median of the blocks' own ratios. What disturbs the machine for a
//! while therefore disturbs both builds, in a minority of blocks, and does not move the result. Nothing is thrown away as an outlier.

pub mod clock;
pub mod cold;
pub mod instructions;
mod interleave;
pub mod memory;
pub mod noise;
pub mod pin;
pub mod process_totals;
pub mod samples;
pub mod statistics;
pub mod sweep;
pub mod traffic;

use std::time::{Duration, Instant};

use dynvm::trust::TrustPolicy;
use dynvm_sim::{Checkpoint, SimProxy};

use super::Side;
use crate::progress;
use crate::scenario::{Scenario, Step, drive_step};
use clock::Clock;
use cold::ColdStart;
use noise::Noise;
use process_totals::Whole;
use statistics::Estimate;
use sweep::Sweep;
use traffic::Traffic;

/// What was measured. Arrays are native, wasm.
pub struct Measured {
    /// The plugin's callbacks under the scenario's traffic.
    pub traffic: Traffic,
    /// The whole of serving a stream, the host in memory included.
    pub whole: Whole,
    /// How the cost of a request grows; or why that was not measured.
    pub sweep: Result<Sweep, String>,
    /// From files to a plugin that serves.
    pub cold: ColdStart,
    /// Bytes of memory of one more VM; `None`: the system does not tell.
    pub memory: [Option<Estimate>; 2],
    /// What else went on.
    pub noise: Noise,
    /// What times were taken with.
    pub clock: Clock,
    /// How long it all took.
    pub took: Duration,
    /// The CPU that the measuring thread was bound to.
    pub pinned: Option<usize>,
}

/// How to measure.
pub struct Plan {
    /// How long, all together. Starting VMs and compiling may take longer.
    pub duration: Duration,
    /// The CPU to bind the measuring thread to.
    pub pin: Option<usize>,
    /// For the loaders that measure loading.
    pub policy: Option<TrustPolicy>,
}

/// How long a quiet machine is waited for. A short measurement waits less.
const MOST_WAITED: Duration = Duration::from_secs(15);

impl Plan {
    /// A part of the time.
    fn share(&self, percent: u32) -> Duration {
        self.duration * percent / 100
    }
}

pub fn measure(sides: &[Side; 2], scenario: &Scenario, plan: &Plan) -> anyhow::Result<Measured> {
    let spinner = progress::spinner("waiting for other processes to finish, 15 s at most");
    let wait = noise::Wait::for_quiet((plan.duration * 4).min(MOST_WAITED));
    spinner.finish_and_clear();
    let start = Instant::now();
    let noise = noise::Before::now(wait);
    let clock = Clock::probe();

    let spinner = progress::spinner("measuring memory");
    // Before all else: what others have freed would be used again, and not be seen.
    let memory = memory::of_one_more_vm(sides, scenario)?;
    spinner.set_message("measuring cold starts");
    let cold = cold::measure(sides, scenario, plan, &clock)?;
    spinner.finish_and_clear();
    // Not before: compiling uses the other CPUs too.
    if let Some(cpu) = plan.pin {
        pin::pin(cpu)?;
    }

    let bar = progress::bar(plan.share(90).as_millis() as u64, "measuring");
    let traffic = traffic::measure(sides, scenario, plan.share(50), &clock, &bar)?;
    let whole = process_totals::measure(sides, scenario, plan.share(15), &bar)?;
    let sweep = sweep::measure(sides, scenario, plan.share(25), &clock, &bar)?;
    bar.finish_and_clear();

    Ok(Measured {
        traffic,
        whole,
        sweep,
        cold,
        memory,
        noise: noise.until_now(),
        clock,
        took: start.elapsed(),
        pinned: plan.pin,
    })
}

/// Takes a host through all steps once, from the state at the start of the plugin, saying after each that it is done.
///
/// Without going back, a scenario in which time passes would be another one in each pass: tokens expire, buckets run empty.
fn pass(
    host: &mut SimProxy,
    start: &Checkpoint,
    scenario: &Scenario,
    done: &mut dyn FnMut(usize, &Step),
) -> anyhow::Result<()> {
    host.restore(start);
    for (index, step) in scenario.steps.iter().enumerate() {
        drive_step(host, step)?;
        done(index, step);
        forget(host);
    }
    Ok(())
}

/// What the host keeps for those who look must not grow.
fn forget(host: &SimProxy) {
    host.take_log();
    host.take_calls();
    host.take_steps();
}
