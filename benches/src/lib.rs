//! Shared parts of the benches: the traffic, the plugins, and each way to run one.
//!
//! `benches/` has criterion benches for comparing two versions of the code. The program `ratios` interleaves all
//! subjects in one run and prints the tables of `docs/performance.md`. The program `soak` runs for a long time and
//! fails on leaks (`docs/soak.md`).

pub mod artifacts;
pub mod direct;
pub mod dynamic;
pub mod envoy;
pub mod linked;
pub mod linked_in;
pub mod rolled_out;
pub mod stream;
pub mod traffic;

use stream::BenchStream;
use traffic::Traffic;

/// A way to run a plugin.
pub trait Subject {
    /// Runs one stream: context, request headers, body if there is one, response headers, done, log, delete.
    fn stream(&mut self, template: &BenchStream);
}

/// A workload of the example plugin `bench-suite`, with its traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workload {
    /// The plugin's configuration.
    pub name: &'static str,
    /// Headers of the request.
    pub headers: usize,
    /// The approximate length of the body in bytes.
    pub body: usize,
}

/// The rows of the tables.
pub const WORKLOADS: [Workload; 8] = [
    Workload { name: "noop", headers: 5, body: 0 },
    Workload { name: "header", headers: 5, body: 0 },
    Workload { name: "all-headers", headers: 5, body: 0 },
    Workload { name: "all-headers", headers: 20, body: 0 },
    Workload { name: "all-headers", headers: 100, body: 0 },
    Workload { name: "json", headers: 5, body: 16 << 10 },
    Workload { name: "sha256", headers: 5, body: 16 << 10 },
    Workload { name: "regex", headers: 5, body: 16 << 10 },
];

/// The same work on bodies of growing size.
pub const BODIES: [Workload; 6] = [
    Workload { name: "json", headers: 5, body: 1 << 10 },
    Workload { name: "json", headers: 5, body: 64 << 10 },
    Workload { name: "json", headers: 5, body: 1 << 20 },
    Workload { name: "sha256", headers: 5, body: 1 << 10 },
    Workload { name: "sha256", headers: 5, body: 64 << 10 },
    Workload { name: "sha256", headers: 5, body: 1 << 20 },
];

impl Workload {
    /// Its stream.
    pub fn stream(&self) -> BenchStream {
        BenchStream::new(&Traffic::new(self.headers, self.body))
    }

    /// The name in the tables.
    pub fn title(&self) -> String {
        match self.body {
            0 => format!("{}, {} headers", self.name, self.headers),
            body if body >= 1 << 20 => format!("{}, {} MiB", self.name, body >> 20),
            body => format!("{}, {} KiB", self.name, body >> 10),
        }
    }
}
