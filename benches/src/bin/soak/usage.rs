//! System resources of a process, and whether they grow.

use std::fs;

use anyhow::{Context as _, Result, ensure};

/// The resources of a process at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Resident memory, in KiB.
    pub memory: u64,
    /// Mappings of memory.
    pub mappings: u64,
    /// Open file descriptors.
    pub descriptors: u64,
}

impl Usage {
    /// Those of this process.
    ///
    /// # Errors
    ///
    /// As [`Self::of`].
    pub fn now() -> Result<Usage> {
        Usage::of("self")
    }

    /// Those of a process, by its number.
    ///
    /// # Errors
    ///
    /// `/proc` has no such process, or has another format than Linux's.
    pub fn of(process: &str) -> Result<Usage> {
        let dir = format!("/proc/{process}");
        let read = |file: &str| {
            let path = format!("{dir}/{file}");
            fs::read_to_string(&path).with_context(|| format!("{path} cannot be read"))
        };
        let rollup = read("smaps_rollup")?;
        let memory = rollup.lines().find_map(|line| line.strip_prefix("Rss:")?.trim().strip_suffix(" kB"));
        Ok(Usage {
            memory: memory.with_context(|| format!("{dir}/smaps_rollup has no line Rss"))?.parse()?,
            mappings: read("maps")?.lines().count() as u64,
            // Of this process, one is the descriptor of the directory itself.
            descriptors: fs::read_dir(format!("{dir}/fd")).with_context(|| format!("{dir}/fd cannot be read"))?.count()
                as u64
                - u64::from(process == "self"),
        })
    }
}

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mib = self.memory as f64 / 1024.0;
        write!(f, "{mib:>8.1} MiB {:>6} mappings {:>4} descriptors", self.mappings, self.descriptors)
    }
}

/// Allowed growth: the heaps of threads fill gradually and are trimmed at times of their choice.
const TOLERANCE: Usage = Usage { memory: 4096, mappings: 32, descriptors: 0 };

/// Whether a resource grew over samples in order, the first taken after a warm-up. Compares the maximum of their first
/// third with the minimum of their last, so that a peak does not count and a slope does.
///
/// # Errors
///
/// The resource that grew, with both values.
pub fn check(samples: &[Usage]) -> Result<()> {
    ensure!(samples.len() >= 3, "{} samples do not show whether anything grows: take at least 3", samples.len());
    let part = samples.len() / 3;
    let (first, last) = (&samples[..part], &samples[samples.len() - part..]);
    let within = |name: &str, column: fn(&Usage) -> u64| {
        let before = first.iter().map(column).max().unwrap_or_default();
        let after = last.iter().map(column).min().unwrap_or_default();
        ensure!(
            after <= before + column(&TOLERANCE),
            "{name} grew: at most {before} at first, at least {after} at last"
        );
        Ok(())
    };
    within("resident memory in KiB", |usage| usage.memory)?;
    within("mappings", |usage| usage.mappings)?;
    within("descriptors", |usage| usage.descriptors)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(mappings: impl IntoIterator<Item = u64>) -> Vec<Usage> {
        mappings.into_iter().map(|mappings| Usage { memory: 1000, mappings, descriptors: 3 }).collect()
    }

    #[test]
    fn slopes_are_found_and_peaks_are_not() {
        assert!(check(&samples((0..10).map(|index| 100 + index * 8))).is_err());
        assert!(check(&samples([100, 102, 900, 101, 99, 103])).is_ok());
        assert!(check(&samples([100, 100, 100, 100, 100, 900])).is_ok(), "a single peak");
        assert!(check(&samples([100, 100])).unwrap_err().to_string().contains("at least 3"));
        let mut leak = samples([100; 3]);
        leak[2].descriptors += 1;
        assert_eq!(check(&leak).unwrap_err().to_string(), "descriptors grew: at most 3 at first, at least 4 at last");
    }

    #[test]
    fn this_process_takes_something() {
        let before = Usage::now().unwrap();
        assert!(before.memory > 100 && before.mappings > 10 && before.descriptors >= 3);
        let _more: Vec<fs::File> = (0..5).map(|_| fs::File::open("/proc/self/maps").unwrap()).collect();
        assert!(Usage::now().unwrap().descriptors >= before.descriptors + 5);
    }
}
