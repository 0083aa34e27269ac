//! CPU time, latency, memory and time until ready of each setup, side by side.
//!
//! All Envoys run at the same time and take turns in short bursts, so that what else the machine does meets them alike;
//! a burst's cost over that of no filter is taken from the same round.

use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::Trial;
use super::config::Setup;
use super::process::Envoy;
use super::traffic::{Client, Sent};
use crate::ab::Estimate;
use crate::progress;

/// Rounds that a measurement has at least, for an interval.
const FEWEST_ROUNDS: u32 = 6;

/// Duration of a burst, long enough for some hundred requests.
const BURST: Duration = Duration::from_millis(100);

/// The numbers of a setup.
#[derive(Clone, Debug, Serialize)]
pub struct SetupNumbers {
    pub setup: Setup,
    pub requests: u64,
    /// CPU time of the worker thread for a request.
    pub cpu_ns: Option<Estimate>,
    /// The same over that without a filter.
    pub cpu_over_none_ns: Option<Estimate>,
    /// Latency at the client.
    pub latency_p50_ns: Option<Estimate>,
    pub latency_p99_ns: Option<Estimate>,
    /// Resident memory of the process after the traffic.
    pub memory_bytes: Option<u64>,
    /// Time from the start of the process until it served.
    pub ready_ns: u64,
}

struct Running {
    setup: Setup,
    envoy: Envoy,
    client: Client,
    requests: u64,
    /// One value for each round.
    cpu: Vec<Option<f64>>,
    p50: Vec<f64>,
    p99: Vec<f64>,
}

/// Measures all setups for about `duration`.
pub fn measure(trial: &Trial, duration: Duration, dir: &Path) -> anyhow::Result<Vec<SetupNumbers>> {
    let requests: Vec<(Vec<u8>, _)> = trial.traffic[..trial.measured]
        .iter()
        .filter_map(|step| match step {
            Sent::Request { request, answer, .. } => Some((request.bytes(false), answer.clone())),
            Sent::Pause { .. } => None,
        })
        .collect();
    if requests.is_empty() {
        return Ok(Vec::new());
    }
    let mut running = Vec::new();
    for setup in trial.setups() {
        let spinner = progress::spinner(&format!("starting Envoy: {}", setup.title()));
        let envoy = trial.start(setup, &dir.join(format!("{setup:?}-measured")), &["-l", "error"])?;
        spinner.finish_and_clear();
        let client = Client::new(envoy.port);
        running.push(Running { setup, envoy, client, requests: 0, cpu: Vec::new(), p50: Vec::new(), p99: Vec::new() });
    }
    let rounds = (duration.as_secs_f64() / (BURST.as_secs_f64() * running.len() as f64)).ceil() as u32;
    let rounds = rounds.max(FEWEST_ROUNDS);
    let bar = progress::bar(u64::from(rounds), "measuring in Envoy");
    // The first round warms up.
    for round in 0..=rounds {
        let mut order: Vec<usize> = (0..running.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for index in order {
            burst(trial, &mut running[index], &requests, round > 0)?;
        }
        bar.set_position(u64::from(round));
    }
    bar.finish_and_clear();
    let none = running[0].cpu.clone();
    Ok(running.into_iter().map(|setup| setup.numbers(&none)).collect())
}

fn burst(
    trial: &Trial,
    running: &mut Running,
    requests: &[(Vec<u8>, Option<super::http1::Message>)],
    counts: bool,
) -> anyhow::Result<()> {
    let before = running.envoy.cpu_ns();
    let start = Instant::now();
    let mut latencies = Vec::new();
    // Whole passes only, so that all setups serve the same mix.
    while start.elapsed() < BURST {
        for (request, answer) in requests {
            trial.interrupt.check()?;
            trial.upstream.answer(answer.clone());
            let sent = Instant::now();
            if let Err(error) = running.client.send(request) {
                running.envoy.check()?;
                return Err(
                    anyhow::Error::new(error).context(format!("{}: Envoy does not answer", running.setup.title()))
                );
            }
            latencies.push(sent.elapsed().as_nanos() as f64);
        }
    }
    if counts {
        let count = latencies.len();
        let cpu = before.zip(running.envoy.cpu_ns()).map(|(before, after)| (after - before) as f64 / count as f64);
        latencies.sort_unstable_by(f64::total_cmp);
        running.cpu.push(cpu);
        running.p50.push(latencies[count / 2]);
        running.p99.push(latencies[(count * 99 / 100).min(count - 1)]);
        running.requests += count as u64;
    }
    Ok(())
}

impl Running {
    fn numbers(self, none: &[Option<f64>]) -> SetupNumbers {
        let cpu: Vec<f64> = self.cpu.iter().copied().flatten().collect();
        let pairs = self.cpu.iter().zip(none);
        let over: Vec<f64> = pairs.filter_map(|(cpu, none)| Some((*cpu)? - (*none)?)).collect();
        SetupNumbers {
            setup: self.setup,
            requests: self.requests,
            cpu_ns: Estimate::median_of(&cpu),
            cpu_over_none_ns: (self.setup != Setup::NoFilter).then(|| Estimate::median_of(&over)).flatten(),
            latency_p50_ns: Estimate::median_of(&self.p50),
            latency_p99_ns: Estimate::median_of(&self.p99),
            memory_bytes: self.envoy.memory_bytes(),
            ready_ns: self.envoy.ready.as_nanos() as u64,
        }
    }
}
