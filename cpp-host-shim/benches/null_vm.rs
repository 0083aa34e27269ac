//! Calls and streams through proxy-wasm-cpp-host: native plugins in the shim against its NullVM, where the same plugin is linked into the host.
//!
//! `cargo bench -p dynvm-cpp-host-shim`, with `DYNVM_CPP_HOST_INCLUDE` and `DYNVM_CPP_HOST_LIB` as `tests/build`
//! explains them; without them it says so and measures nothing. One plugin on the C++ SDK is compiled into the program,
//! and twice as a shared object. Engines take turns in one process, round by round. The output has minimum and median,
//! and the ratio of medians to NullVM's.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use build::{Host, Program, here, run, sdk_plugin};
use clap::{Parser, ValueEnum};

#[allow(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../tests/build/mod.rs"]
mod build;

#[derive(Parser)]
#[command(about = "Native plugins in proxy-wasm-cpp-host against its NullVM, in nanoseconds")]
struct Arguments {
    /// The output format.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    /// Measurements of each case and engine.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Table,
    Json,
}

/// The reference engine.
const BASE: &str = "NullVM";

fn main() {
    let arguments = Arguments::parse();
    let Some(host) = Host::given() else {
        eprintln!(
            "DYNVM_CPP_HOST_INCLUDE and DYNVM_CPP_HOST_LIB name no proxy-wasm-cpp-host: there is nothing to measure"
        );
        return;
    };
    let Some(sdk) = host.sdk().map(Path::to_owned) else {
        eprintln!(
            "DYNVM_CPP_HOST_INCLUDE has no directory with proxy_wasm_intrinsics.cc, the C++ SDK: there is no plugin to measure"
        );
        return;
    };
    let plugin = plugin(&sdk, &[], "measured.so");
    let symbolic = plugin_symbolic(&sdk);
    let program = Program {
        name: "null_vm",
        sources: vec![here("benches/null_vm/bench.cc"), here("benches/null_vm/plugin.cc")],
        includes: [host.includes, vec![here("benches/null_vm")]].concat(),
        // The host's headers cause warnings.
        flags: vec!["-O2", "-DNDEBUG", "-DNULL_PLUGIN", "-w"],
        libraries: host.libraries,
    };
    let output = run(Command::new(program.build()).arg(arguments.rounds.to_string()).args([&plugin, &symbolic]));
    let results = Results::read(&String::from_utf8_lossy(&output.stdout));
    match arguments.format {
        Format::Table => print!("{}", results.table()),
        Format::Json => println!("{:#}", results.json()),
    }
}

fn plugin(sdk: &Path, flags: &[&str], name: &str) -> PathBuf {
    let own = format!("-I{}", here("benches/null_vm").display());
    sdk_plugin(sdk, "benches/null_vm/plugin.cc", &[&[own.as_str()], flags].concat(), name)
}

/// Binds the plugin's references to itself at link time.
fn plugin_symbolic(sdk: &Path) -> PathBuf {
    plugin(sdk, &["-Wl,-Bsymbolic", "-fno-semantic-interposition"], "measured-symbolic.so")
}

/// Nanoseconds by case, in the order of measuring, and by engine.
struct Results {
    cases: Vec<String>,
    engines: Vec<String>,
    samples: BTreeMap<(String, String), Vec<f64>>,
}

impl Results {
    fn read(text: &str) -> Results {
        let mut results = Results { cases: Vec::new(), engines: Vec::new(), samples: BTreeMap::new() };
        for line in text.lines() {
            let fields: Vec<&str> = line.split('\t').collect();
            let [case, engine, nanoseconds] = fields[..] else { panic!("not a measurement: {line}") };
            for (list, name) in [(&mut results.cases, case), (&mut results.engines, engine)] {
                if !list.iter().any(|known| known == name) {
                    list.push(name.to_owned());
                }
            }
            let nanoseconds = nanoseconds.parse().expect("a number");
            results.samples.entry((case.to_owned(), engine.to_owned())).or_default().push(nanoseconds);
        }
        for samples in results.samples.values_mut() {
            samples.sort_by(f64::total_cmp);
        }
        results
    }

    fn minimum(&self, case: &str, engine: &str) -> f64 {
        self.samples[&(case.to_owned(), engine.to_owned())][0]
    }

    fn median(&self, case: &str, engine: &str) -> f64 {
        let samples = &self.samples[&(case.to_owned(), engine.to_owned())];
        samples[samples.len() / 2]
    }

    fn ratio(&self, case: &str, engine: &str) -> f64 {
        self.median(case, engine) / self.median(case, BASE)
    }

    fn table(&self) -> String {
        let mut table = format!("{:<58}", "nanoseconds: minimum, median, ratio of medians");
        for engine in &self.engines {
            table += &format!("{engine:>25}");
        }
        table.push('\n');
        for case in &self.cases {
            table += &format!("{case:<58}");
            for engine in &self.engines {
                let (minimum, median) = (self.minimum(case, engine), self.median(case, engine));
                table += &format!("{minimum:>10.1}{median:>9.1}{:>6.2}", self.ratio(case, engine));
            }
            table.push('\n');
        }
        table
    }

    fn json(&self) -> serde_json::Value {
        let row = |case: &String, engine: &String| {
            serde_json::json!({
                "case": case,
                "engine": engine,
                "minimum_ns": self.minimum(case, engine),
                "median_ns": self.median(case, engine),
                "ratio_of_medians": self.ratio(case, engine),
            })
        };
        self.cases.iter().flat_map(|case| self.engines.iter().map(move |engine| row(case, engine))).collect()
    }
}
