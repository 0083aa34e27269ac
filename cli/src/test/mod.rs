//! `dynvm test`: runs unmodified suites of Google's wasm-tester for Service Extensions on one or both builds
//! of a plugin.

mod json;
mod report;
mod subject;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use dynvm::abi::types::LogLevel;
use dynvm::call_trace::{Event, Tracer};
use dynvm_compare::rules::Applied;
use dynvm_suite::bench::{self, Bench};
use dynvm_suite::{Filter, Format as SuiteFormat, Runner, Suite, TestResult, junit};

use crate::exit::{DIFFERS, usage};
use crate::policy::PolicyArg;
use crate::print;
use crate::rules::RuleArgs;

/// Run an unmodified suite of Google's wasm-tester on the native build of a plugin, on the wasm build, or on both.
///
/// A suite (tests.textpb, tests.yaml) states inputs and expected results; docs/suites.md describes the
/// format. With both builds, the output also notes where they differ and compares the suite's benchmarks.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  dynvm test --proto tests.textpb --plugin plugin.wasm
  dynvm test --proto tests.textpb --plugin plugin.so --plugin plugin.wasm
  dynvm test --yaml tests.yaml --plugin my-plugin --config plugin.json   builds the directory first
  dynvm test --proto tests.textpb --plugin plugin.wasm --filter 'Auth*' --nobench
  dynvm test --proto tests.textpb --plugin my-plugin --junit results.xml --format json > results.json

Exit codes: 0 all tests passed, 1 a test failed, 2 wrong usage or an unreadable suite, 3 a plugin cannot be built or loaded.")]
pub struct TestArgs {
    /// Suite in the protocol buffer text format.
    #[arg(long, value_name = "FILE", required_unless_present = "yaml", conflicts_with = "yaml")]
    proto: Option<PathBuf>,
    /// Suite in YAML.
    #[arg(long, value_name = "FILE")]
    yaml: Option<PathBuf>,
    /// Shared object, wasm module, fat plugin, or source directory, which is built first; repeat it for both
    /// builds [default: the suite's wasm_path].
    #[arg(long = "plugin", value_name = "FILE|DIR")]
    plugins: Vec<OsString>,
    /// Plugin configuration file [default: the suite's config_path].
    #[arg(long, value_name = "FILE")]
    config: Option<OsString>,
    /// Append log messages of the plugin to this file, e.g. /dev/stdout [default: the suite's log_path].
    #[arg(long, value_name = "FILE")]
    logfile: Option<OsString>,
    /// Minimum log level: TRACE (also prints every call), DEBUG, INFO, WARN, ERROR or CRITICAL [default: the
    /// suite's, or INFO].
    #[arg(long, value_name = "LEVEL")]
    loglevel: Option<String>,
    /// Run the tests; --notest is short for --test=false.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value_t = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    test: bool,
    #[arg(long, hide = true)]
    notest: bool,
    /// Run the benchmarks; --nobench is short for --bench=false.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value_t = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    bench: bool,
    #[arg(long, hide = true)]
    nobench: bool,
    /// Run only tests and benchmarks whose names match: patterns with * and ?, separated by colons; patterns
    /// after a minus are excluded.
    #[arg(long, value_name = "PATTERNS", default_value = "", alias = "gtest_filter", allow_hyphen_values = true)]
    filter: String,
    /// Duration of each benchmark on each build, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "0.5")]
    bench_time: f64,
    /// Number of additional open streams during a benchmark.
    #[arg(long = "num_additional_streams", alias = "num-additional-streams", value_name = "N", default_value_t = 0)]
    num_additional_streams: u64,
    /// Number of additional streams that advance between two rounds of a benchmark [default: 3].
    #[arg(
        long = "additional_stream_advance_rate",
        alias = "additional-stream-advance-rate",
        value_name = "N",
        default_value_t = 0,
        hide_default_value = true
    )]
    additional_stream_advance_rate: u64,
    /// Output format.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Write test results to this file as JUnit XML.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    #[command(flatten)]
    rules: RuleArgs,
    #[command(flatten)]
    policy: PolicyArg,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Human-readable.
    Text,
    /// One JSON object.
    Json,
}

/// Results of a run.
#[derive(Default)]
struct Outcome {
    /// Tests in order, each with every build.
    tests: Vec<TestResult>,
    /// Test names with the difference between the builds.
    differences: Vec<(String, String)>,
    /// Applications of the rules that declare differences.
    applied: Applied,
    benches: Vec<Bench>,
}

impl Outcome {
    fn failed(&self) -> bool {
        self.tests.iter().any(|test| !test.passed())
    }
}

pub fn execute(args: &TestArgs) -> anyhow::Result<ExitCode> {
    if !(0.0..=86_400.0).contains(&args.bench_time) {
        return Err(usage("--bench-time must be between 0 and 86400 seconds"));
    }
    let suite = args.suite()?;
    let filter = Filter::new(&args.filter);
    let policy = args.policy.read()?;
    let modules = subject::modules(&args.plugins(&suite)?, policy)?;
    let mut runners = Vec::new();
    for module in modules {
        let runner = Runner::new(&suite, module).map_err(|error| usage(dynvm::with_causes(&error)))?;
        runners.push(if suite.env.log_level == Some(LogLevel::Trace) { args.traced(runner) } else { runner });
    }
    if suite.env.log_level == Some(LogLevel::Trace) {
        args.say(&format!("{suite:#?}"));
    }
    let text = args.format == Format::Text;
    let mut outcome = Outcome::default();
    if args.test && !args.notest {
        for test in &suite.tests {
            args.run(test, &runners, &filter, &mut outcome);
        }
        if text {
            report::summary(&outcome);
        }
    } else if text {
        anstream::println!("tests skipped (--test=false)");
    }
    if args.bench && !args.nobench {
        let time = Duration::from_secs_f64(args.bench_time);
        bench::run(&runners, &filter, time, |bench| outcome.benches.push(bench));
        if text {
            report::benches(&outcome.benches);
        }
    }
    args.finish(&suite, &outcome)
}

impl TestArgs {
    /// The suite, with the overrides of the command line.
    fn suite(&self) -> anyhow::Result<Suite> {
        let (path, format) = match (&self.proto, &self.yaml) {
            (Some(path), _) => (path, SuiteFormat::TextProto),
            (None, Some(path)) => (path, SuiteFormat::Yaml),
            (None, None) => return Err(usage("name a suite: --proto FILE or --yaml FILE")),
        };
        let mut suite = Suite::from_file(path, format).map_err(|error| usage(dynvm::with_causes(&error)))?;
        let given = |path: &Option<OsString>| path.as_ref().filter(|path| !path.is_empty()).map(PathBuf::from);
        let env = &mut suite.env;
        env.config = given(&self.config).or(env.config.take());
        env.log_file = given(&self.logfile).or(env.log_file.take());
        if let Some(level) = self.loglevel.as_deref().filter(|level| !level.is_empty()) {
            env.log_level = log_level(level)?.or(env.log_level);
        }
        // 0 means unset, as in the suite's own field.
        if self.num_additional_streams > 0 {
            env.additional_streams = self.num_additional_streams;
        }
        if self.additional_stream_advance_rate > 0 {
            env.advance_rate = self.additional_stream_advance_rate;
        }
        Ok(suite)
    }

    fn plugins(&self, suite: &Suite) -> anyhow::Result<Vec<PathBuf>> {
        let given: Vec<PathBuf> = self.plugins.iter().filter(|path| !path.is_empty()).map(PathBuf::from).collect();
        match (given.is_empty(), &suite.env.plugin) {
            (false, _) => Ok(given),
            (true, Some(plugin)) => Ok(vec![plugin.clone()]),
            (true, None) => Err(usage("name a plugin: --plugin FILE|DIR, or wasm_path in the suite's env")),
        }
    }

    /// Runs one test on every build.
    fn run(&self, test: &dynvm_suite::model::Test, runners: &[Runner<'_>], filter: &Filter, outcome: &mut Outcome) {
        let first = outcome.tests.len();
        for runner in runners {
            if filter.takes(&format!("Test_{}.{}", runner.engine(), test.name), &test.name) {
                let result = runner.run(test);
                if self.format == Format::Text {
                    report::test(&result);
                }
                outcome.tests.push(result);
            }
        }
        if let [native, wasm] = &outcome.tests[first..]
            && let Some(difference) =
                dynvm_suite::difference(&native.observed, &wasm.observed, &self.rules.rules(), &mut outcome.applied)
        {
            let difference = difference.to_string();
            if self.format == Format::Text {
                report::difference(&test.name, &difference);
            }
            outcome.differences.push((test.name.clone(), difference));
        }
    }

    fn finish(&self, suite: &Suite, outcome: &Outcome) -> anyhow::Result<ExitCode> {
        if self.format == Format::Json {
            println!("{}", serde_json::to_string_pretty(&json::report(&suite.path, outcome))?);
        }
        if let Some(path) = &self.junit {
            let xml = junit::report(&suite.path.display().to_string(), &outcome.tests);
            std::fs::write(path, xml)
                .map_err(|error| usage(format!("{}: cannot be written: {error}", path.display())))?;
        }
        if outcome.failed() {
            anstream::eprintln!("ABORTED: tests failed");
            return Ok(ExitCode::from(DIFFERS));
        }
        Ok(ExitCode::SUCCESS)
    }

    fn traced<'a>(&self, runner: Runner<'a>) -> Runner<'a> {
        let to_stderr = self.format == Format::Json;
        runner.trace(move || Box::new(Print { to_stderr }) as Box<dyn Tracer>)
    }

    /// Prints a line, unless standard output is JSON.
    fn say(&self, text: &str) {
        match self.format {
            Format::Text => anstream::println!("{text}"),
            Format::Json => anstream::eprintln!("{text}"),
        }
    }
}

struct Print {
    to_stderr: bool,
}

impl Tracer for Print {
    fn event(&mut self, event: Event) {
        let line = print::event(&event);
        if self.to_stderr { anstream::eprintln!("  {line}") } else { anstream::println!("  {line}") }
    }
}

/// Parses a log level; `None` for UNDEFINED.
fn log_level(name: &str) -> anyhow::Result<Option<LogLevel>> {
    if name.eq_ignore_ascii_case("undefined") {
        return Ok(None);
    }
    let mut levels = (0..).map_while(LogLevel::from_u32);
    levels
        .find(|level| level.name().eq_ignore_ascii_case(name))
        .map(Some)
        .ok_or_else(|| usage(format!("--loglevel {name:?}: use TRACE, DEBUG, INFO, WARN, ERROR or CRITICAL")))
}

/// The last component of a path, for titles.
fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}
