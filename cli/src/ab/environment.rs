//! The machine and the software versions of a measurement.

use std::fs;
use std::process::Command;

use serde::Serialize;

/// The machine and the software. `None`: unknown.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Environment {
    pub dynvm: &'static str,
    pub wasmtime: &'static str,
    /// Compiler that built DynVM.
    pub rustc: &'static str,
    /// Whether DynVM was built without optimization.
    pub debug_build: bool,
    pub arch: &'static str,
    pub os: &'static str,
    pub distribution: Option<String>,
    pub kernel: Option<String>,
    pub glibc: Option<String>,
    /// Processor model.
    pub cpu: Option<String>,
    /// Number of CPUs that this process may use.
    pub cpus: usize,
    /// Whether the machine is virtual.
    pub virtual_machine: Option<bool>,
    /// Frequency governor.
    pub governor: Option<String>,
    /// Momentary frequency of the first CPU, in MHz.
    pub frequency_mhz: Option<f64>,
    /// Physical memory.
    pub memory_bytes: Option<u64>,
}

impl Environment {
    pub fn read() -> Environment {
        let text = |path: &str| fs::read_to_string(path).ok();
        let line = |path: &str| text(path).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        let cpuinfo = text("/proc/cpuinfo").unwrap_or_default();
        let cpufreq = "/sys/devices/system/cpu/cpu0/cpufreq";
        let kilohertz = line(&format!("{cpufreq}/scaling_cur_freq")).and_then(|text| text.parse::<f64>().ok());
        Environment {
            dynvm: env!("CARGO_PKG_VERSION"),
            wasmtime: env!("DYNVM_WASMTIME_VERSION"),
            rustc: env!("DYNVM_RUSTC_VERSION"),
            debug_build: cfg!(debug_assertions),
            arch: std::env::consts::ARCH,
            os: std::env::consts::OS,
            distribution: text("/etc/os-release").and_then(|text| distribution(&text)),
            kernel: line("/proc/sys/kernel/osrelease"),
            glibc: glibc(),
            cpu: field(&cpuinfo, "model name").map(str::to_owned),
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            virtual_machine: field(&cpuinfo, "flags").map(|flags| flags.split(' ').any(|flag| flag == "hypervisor")),
            governor: line(&format!("{cpufreq}/scaling_governor")),
            frequency_mhz: kilohertz
                .map(|kilohertz| kilohertz / 1000.0)
                .or_else(|| field(&cpuinfo, "cpu MHz")?.parse().ok()),
            memory_bytes: text("/proc/meminfo").and_then(|text| {
                Some(field(&text, "MemTotal")?.strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
            }),
        }
    }
}

/// The value of the first `name: value` line of a file in `/proc`.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then_some(value.trim())
    })
}

fn distribution(os_release: &str) -> Option<String> {
    let name = os_release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    Some(name.trim_matches('"').to_owned())
}

/// Runs a program, because the C library's own function is unsafe to call.
fn glibc() -> Option<String> {
    let output = Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.trim().strip_prefix("glibc ")?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_system_are_read() {
        let cpuinfo = "processor\t: 0\nmodel name\t: AMD EPYC 9B14\nflags\t\t: fpu hypervisor sse\n";
        assert_eq!(field(cpuinfo, "model name"), Some("AMD EPYC 9B14"));
        assert_eq!(field(cpuinfo, "cpu MHz"), None);
        let os = "ID=debian\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n";
        assert_eq!(distribution(os).as_deref(), Some("Debian GNU/Linux 12 (bookworm)"));
        let environment = Environment::read();
        assert!(environment.cpus > 0 && environment.wasmtime != "unknown" && !environment.rustc.is_empty());
    }
}
