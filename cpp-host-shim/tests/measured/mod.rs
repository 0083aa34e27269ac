//! Calls and streams through proxy-wasm-cpp-host, in time or in instructions: its NullVM, where a plugin is linked into the host, and the
//! shim, which loads the same plugin.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::build::{Host, OPTIMISED_LOADER, Program, here, run, sdk_plugin, target};

/// The engine that the others are compared with.
pub const BASE: &str = "NullVM";

/// The program that measures, and the plugin as shared objects.
pub struct Measured {
    program: PathBuf,
    plugins: [PathBuf; 2],
}

impl Measured {
    /// One plugin on the C++ SDK is compiled into the program, and twice as a shared object.
    pub fn build(host: Host, sdk: &Path) -> Measured {
        let plugin = |flags: &[&str], name| {
            let own = format!("-I{}", here("benches/null_vm").display());
            sdk_plugin(sdk, "benches/null_vm/plugin.cc", &[&[own.as_str()], flags].concat(), name)
        };
        // The second has its references to itself bound when it is linked.
        let plugins =
            [plugin(&[], "measured.so"), plugin(&["-Wl,-Bsymbolic", "-fno-semantic-interposition"], "symbolic.so")];
        let program = Program {
            name: "null_vm",
            loader: &OPTIMISED_LOADER,
            sources: vec![here("benches/null_vm/bench.cc"), here("benches/null_vm/plugin.cc")],
            includes: [host.includes, vec![here("benches/null_vm")]].concat(),
            // The host's headers cause warnings.
            flags: vec!["-O2", "-DNDEBUG", "-DNULL_PLUGIN", "-w"],
            libraries: host.libraries,
        };
        Measured { program: program.build(), plugins }
    }

    /// Nanoseconds of processor time of one iteration. Engines take turns in one process, round by round.
    #[allow(dead_code, reason = "the tests count instructions")]
    pub fn nanoseconds(&self, rounds: u32) -> Results {
        self.measure(&mut Command::new(&self.program), rounds)
    }

    /// Instructions of one iteration, which the machine's load does not change.
    pub fn instructions(&self) -> Results {
        let counts = target("null_vm-counts");
        let _ = fs::remove_dir_all(&counts);
        fs::create_dir(&counts).expect("a directory for counts");
        let mut command = Command::new("valgrind");
        command.args(["--quiet", "--tool=callgrind", "--dump-before=dynvm_bench_mark"]);
        command.arg(format!("--callgrind-out-file={}", counts.join("count").display())).arg(&self.program);
        let mut results = self.measure(&mut command, 1);
        let parts = (1..).map_while(|part| fs::read_to_string(counts.join(format!("count.{part}"))).ok());
        // Each measurement is between two marks.
        let measured: Vec<f64> = parts.skip(1).step_by(2).map(|part| instructions_of(&part)).collect();
        // Those that warm up are not in the output.
        let first = measured.len().checked_sub(results.samples.len()).expect("a count for each measurement");
        for (sample, count) in results.samples.iter_mut().zip(&measured[first..]) {
            sample.value = count / sample.iterations;
        }
        results
    }

    fn measure(&self, command: &mut Command, rounds: u32) -> Results {
        let output = run(command.arg(rounds.to_string()).args(&self.plugins));
        Results::read(&String::from_utf8_lossy(&output.stdout))
    }
}

/// The instructions in a part of callgrind's output.
fn instructions_of(part: &str) -> f64 {
    let total = part.lines().find_map(|line| line.strip_prefix("summary: ").or_else(|| line.strip_prefix("totals: ")));
    total.and_then(|total| total.trim().parse().ok()).expect("callgrind writes a total")
}

/// A measurement of one iteration.
struct Sample {
    case: String,
    engine: String,
    value: f64,
    iterations: f64,
}

/// Measurements in the order in which they were made.
pub struct Results {
    samples: Vec<Sample>,
}

impl Results {
    fn read(text: &str) -> Results {
        let sample = |line: &str| {
            let fields: Vec<&str> = line.split('\t').collect();
            let [case, engine, value, iterations] = fields[..] else { panic!("not a measurement: {line}") };
            let number = |text: &str| text.parse().expect("a number");
            Sample { case: case.into(), engine: engine.into(), value: number(value), iterations: number(iterations) }
        };
        Results { samples: text.lines().map(sample).collect() }
    }

    fn sorted(&self, case: &str, engine: &str) -> Vec<f64> {
        let of = self.samples.iter().filter(|sample| sample.case == case && sample.engine == engine);
        let mut values: Vec<f64> = of.map(|sample| sample.value).collect();
        values.sort_by(f64::total_cmp);
        values
    }

    fn minimum(&self, case: &str, engine: &str) -> f64 {
        self.sorted(case, engine)[0]
    }

    /// The median of a case on an engine.
    pub fn median(&self, case: &str, engine: &str) -> f64 {
        let values = self.sorted(case, engine);
        values[values.len() / 2]
    }

    fn ratio(&self, case: &str, engine: &str) -> f64 {
        self.median(case, engine) / self.median(case, BASE)
    }

    /// Each value of a member once, in order.
    fn names(&self, member: impl Fn(&Sample) -> &str) -> Vec<&str> {
        let mut names = BTreeMap::new();
        for (index, sample) in self.samples.iter().enumerate() {
            names.entry(member(sample)).or_insert(index);
        }
        let mut names: Vec<_> = names.into_iter().collect();
        names.sort_by_key(|(_, index)| *index);
        names.into_iter().map(|(name, _)| name).collect()
    }

    /// Minimum, median, and the ratio of medians.
    pub fn table(&self, unit: &str) -> String {
        let engines = self.names(|sample| &sample.engine);
        let mut table = format!("{:<58}", format!("{unit}: minimum, median, ratio of medians"));
        for engine in &engines {
            table += &format!("{engine:>25}");
        }
        table.push('\n');
        for case in self.names(|sample| &sample.case) {
            table += &format!("{case:<58}");
            for engine in &engines {
                let (minimum, median) = (self.minimum(case, engine), self.median(case, engine));
                table += &format!("{minimum:>10.1}{median:>9.1}{:>6.2}", self.ratio(case, engine));
            }
            table.push('\n');
        }
        table
    }

    /// The same as objects, one for each case and engine.
    #[allow(dead_code, reason = "only the bench writes it")]
    pub fn json(&self, unit: &str) -> serde_json::Value {
        let row = |case: &str, engine: &str| {
            serde_json::json!({
                "case": case,
                "engine": engine,
                "unit": unit,
                "minimum": self.minimum(case, engine),
                "median": self.median(case, engine),
                "ratio_of_medians": self.ratio(case, engine),
            })
        };
        let engines = self.names(|sample| &sample.engine);
        let cases = self.names(|sample| &sample.case);
        cases.iter().flat_map(|case| engines.iter().map(move |engine| row(case, engine))).collect()
    }
}
