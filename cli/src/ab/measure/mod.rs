//! Times, instructions and memory of both builds, robust against noise of the machine.
//!
//! All subjects are interleaved, and every measurement is cut into blocks ([`interleave`]). A number is
//! the median over blocks, with the confidence interval of that median ([`statistics`]); a ratio is
//! the median of the ratios per block. A temporary disturbance therefore affects both builds, in a
//! minority of blocks, and does not move the result. No outliers are discarded.

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

/// Results of a measurement. Arrays are native, wasm.
pub struct Measured {
    /// The plugin's callbacks under the scenario's traffic.
    pub traffic: Traffic,
    /// Totals per stream, including the simulated proxy.
    pub whole: Whole,
    /// The cost of a growing request, or the reason why it was not measured.
    pub sweep: Result<Sweep, String>,
    /// Cold start.
    pub cold: ColdStart,
    /// Memory per additional VM, in bytes; `None`: unknown.
    pub memory: [Option<Estimate>; 2],
    /// Noise of the machine.
    pub noise: Noise,
    /// The clock that measured the times.
    pub clock: Clock,
    /// Duration of the whole measurement.
    pub took: Duration,
    /// CPU that the measuring thread was bound to.
    pub pinned: Option<usize>,
}

/// Plan of a measurement.
pub struct Plan {
    /// Total duration. Starting VMs and compiling may take longer.
    pub duration: Duration,
    /// CPU to bind the measuring thread to.
    pub pin: Option<usize>,
    /// Trust policy of the loaders that measure loading.
    pub policy: Option<TrustPolicy>,
}

/// Maximum wait for a quiet machine; shorter for a short measurement.
const MOST_WAITED: Duration = Duration::from_secs(15);

impl Plan {
    /// A share of the total duration.
    fn share(&self, percent: u32) -> Duration {
        self.duration * percent / 100
    }
}

pub fn measure(sides: &[Side; 2], scenario: &Scenario, plan: &Plan) -> anyhow::Result<Measured> {
    let spinner = progress::spinner("waiting for other processes to finish, at most 15 s");
    let wait = noise::Wait::for_quiet((plan.duration * 4).min(MOST_WAITED));
    spinner.finish_and_clear();
    let start = Instant::now();
    let noise = noise::Before::now(wait);
    let clock = Clock::probe();

    let spinner = progress::spinner("measuring memory");
    // Memory comes first: later VMs would reuse memory freed by the other measurements, which hides their cost.
    let memory = memory::of_one_more_vm(sides, scenario)?;
    spinner.set_message("measuring cold starts");
    let cold = cold::measure(sides, scenario, plan, &clock)?;
    spinner.finish_and_clear();
    // Bind only now: compiling uses the other CPUs too.
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

/// Runs a host through all steps once, from the state after the plugin's start, and calls back after each.
///
/// Without the rewind, a scenario in which time passes would differ in each pass: tokens expire, buckets run empty.
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

/// Clears the host's records, which must not grow.
fn forget(host: &SimProxy) {
    host.take_log();
    host.take_calls();
    host.take_steps();
}
