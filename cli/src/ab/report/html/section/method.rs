//! How it was measured, and where the raw data is.

use super::card;
use crate::ab::report::Report;
use crate::ab::report::html::format;
use crate::ab::report::html::markup::Markup;

pub fn write(main: &mut Markup, report: &Report) {
    if let Some(numbers) = &report.measured {
        card(main, "How it was measured", |card| {
            let method = &numbers.method;
            let cpu =
                method.pinned_to.map_or_else(|| "not bound to a CPU".to_owned(), |cpu| format!("bound to CPU {cpu}"));
            let text = [
                format!(
                    "After {} ms of warming up, {} passes of the traffic through each build, taking turns, on one thread, {cpu}; everything \
                     together took {:.1} s.",
                    method.warm_up_ms,
                    format::count(method.passes as f64),
                    method.took_ms as f64 / 1000.0
                ),
                format!(
                    "Times are those of the plugin’s callbacks with the loader’s work for them; the host in memory around them is not counted \
                     unless it says so. Looking at the clock takes {} ns, which is subtracted from each callback; the clock goes in steps of {} ns, \
                     which the intervals allow for.",
                    method.timer_overhead_ns, method.timer_step_ns
                ),
                "The time was cut into blocks. A number is the median of the blocks’ own medians (or p99s), a ratio the median of the blocks’ \
                 ratios; the interval is the order-statistic one of that median, which assumes nothing about distributions, at 95 %. What \
                 disturbs the machine for a while spoils a minority of blocks and moves none of these. No outlier was thrown away: the maxima \
                 and the data in this page have all of them."
                    .to_owned(),
            ];
            text.iter().for_each(|text| card.text_tag("p", &[], text));
        });
    }
    main.tag("footer", &[], |footer| {
        footer.tag("p", &[], |p| {
            p.text(format!("Made at {} by ", report.created));
            p.text_tag("code", &[], report.command.join(" "));
        });
        footer.tag("p", &[], |p| {
            p.text("All numbers are in this page as JSON (");
            p.text_tag("code", &[], report.schema);
            p.text("), in its last ");
            p.text_tag("code", &[], "script");
            p.text(" element, of the type application/json.");
        });
    });
}
