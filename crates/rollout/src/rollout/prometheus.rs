//! Exports a rollout's metrics through its observer.

use std::fmt;

use dynvm::observe::Collect;
use dynvm::observe::prometheus::Page;

use super::{Arm, Counters};

impl Collect for Counters {
    fn collect(&self, page: &mut Page<'_>) -> fmt::Result {
        let seen = self.snapshot();
        let labels = [("plugin", seen.plugin.clone()), ("rollout", seen.number.to_string())];
        let with = |name: &'static str, value: &str| {
            let mut labels = labels.to_vec();
            labels.push((name, value.to_owned()));
            labels
        };

        page.family("dynvm_rollout_split_ratio", "gauge", "Share of streams that the candidate answers.")?;
        page.sample("dynvm_rollout_split_ratio", &labels, seen.split.ratio())?;
        page.family("dynvm_rollout_shadow_ratio", "gauge", "Share of streams that are shadowed.")?;
        page.sample("dynvm_rollout_shadow_ratio", &labels, seen.shadow_share.ratio())?;
        page.family("dynvm_rollout_streams_total", "counter", "Streams, by who answered.")?;
        for arm in Arm::ALL {
            page.sample("dynvm_rollout_streams_total", &with("arm", arm.name()), seen.streams[arm as usize])?;
        }
        page.family(
            "dynvm_rollout_fallbacks_total",
            "counter",
            "Streams of a candidate that did not start on their thread.",
        )?;
        page.sample("dynvm_rollout_fallbacks_total", &labels, seen.fallbacks)?;
        page.family("dynvm_shadow_streams_total", "counter", "Shadowed streams, by result.")?;
        let shadow = &seen.shadow;
        for (result, count) in [
            ("same", shadow.same),
            ("diverged", shadow.diverged),
            ("dropped", shadow.dropped),
            ("too_large", shadow.too_large),
            ("not_comparable", shadow.not_comparable),
            ("not_started", shadow.not_started),
        ] {
            page.sample("dynvm_shadow_streams_total", &with("result", result), count)?;
        }
        page.family("dynvm_shadow_vm_failures_total", "counter", "Shadow VMs that failed.")?;
        page.sample("dynvm_shadow_vm_failures_total", &labels, shadow.vm_failures)?;
        page.family("dynvm_shadow_divergences_total", "counter", "Callbacks in which a shadow diverged, by aspect.")?;
        for divergence in &seen.divergences {
            let mut labels = with("callback", divergence.callback.describe().name);
            labels.push(("aspect", divergence.aspect.name().to_owned()));
            page.sample("dynvm_shadow_divergences_total", &labels, divergence.count)?;
        }
        Ok(())
    }
}
