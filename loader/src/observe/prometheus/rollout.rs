//! Rollouts.

use std::fmt;

use super::page::Page;
use crate::rollout::{Arm, RolloutSnapshot};

/// Writes the metrics of rollouts; of none, nothing.
pub(super) fn write<W: fmt::Write>(page: &mut Page<'_, W>, rollouts: &[RolloutSnapshot]) -> fmt::Result {
    if rollouts.is_empty() {
        return Ok(());
    }
    let labels = |rollout: &RolloutSnapshot| vec![("plugin", rollout.plugin.clone())];
    let with = |rollout: &RolloutSnapshot, name: &'static str, value: &str| {
        vec![("plugin", rollout.plugin.clone()), (name, value.to_owned())]
    };

    page.family("dynvm_rollout_split_ratio", "gauge", "Share of streams that the candidate answers.")?;
    for rollout in rollouts {
        page.sample("dynvm_rollout_split_ratio", &labels(rollout), rollout.split.ratio())?;
    }
    page.family("dynvm_rollout_shadow_ratio", "gauge", "Share of streams that are shadowed.")?;
    for rollout in rollouts {
        page.sample("dynvm_rollout_shadow_ratio", &labels(rollout), rollout.shadow_share.ratio())?;
    }
    page.family("dynvm_rollout_streams_total", "counter", "Streams, by who answered.")?;
    for rollout in rollouts {
        for arm in Arm::ALL {
            page.sample(
                "dynvm_rollout_streams_total",
                &with(rollout, "arm", arm.name()),
                rollout.streams[arm as usize],
            )?;
        }
    }
    page.family(
        "dynvm_rollout_fallbacks_total",
        "counter",
        "Streams of a candidate that did not start on their thread.",
    )?;
    for rollout in rollouts {
        page.sample("dynvm_rollout_fallbacks_total", &labels(rollout), rollout.fallbacks)?;
    }
    page.family("dynvm_shadow_streams_total", "counter", "Shadowed streams, by what became of them.")?;
    for rollout in rollouts {
        let shadow = &rollout.shadow;
        for (result, count) in [
            ("same", shadow.same),
            ("diverged", shadow.diverged),
            ("dropped", shadow.dropped),
            ("too_large", shadow.too_large),
            ("not_comparable", shadow.not_comparable),
            ("not_started", shadow.not_started),
        ] {
            page.sample("dynvm_shadow_streams_total", &with(rollout, "result", result), count)?;
        }
    }
    page.family("dynvm_shadow_vm_failures_total", "counter", "Shadow VMs that failed.")?;
    for rollout in rollouts {
        page.sample("dynvm_shadow_vm_failures_total", &labels(rollout), rollout.shadow.vm_failures)?;
    }
    page.family("dynvm_shadow_divergences_total", "counter", "Callbacks in which a shadow did otherwise, by aspect.")?;
    for rollout in rollouts {
        for divergence in &rollout.divergences {
            let mut labels = with(rollout, "callback", divergence.callback.describe().name);
            labels.push(("aspect", divergence.aspect.name().to_owned()));
            page.sample("dynvm_shadow_divergences_total", &labels, divergence.count)?;
        }
    }
    Ok(())
}
