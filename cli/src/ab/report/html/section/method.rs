//! Method of the measurement, and location of the raw data.

use super::card;
use crate::ab::report::Report;
use crate::ab::report::html::format;
use crate::ab::report::html::markup::Markup;

pub fn write(main: &mut Markup, report: &Report) {
    if let Some(numbers) = &report.measured {
        card(main, "Method", |card| {
            let method = &numbers.method;
            let cpu =
                method.pinned_to.map_or_else(|| "not bound to a CPU".to_owned(), |cpu| format!("bound to CPU {cpu}"));
            let text = [
                format!(
                    "After {} ms of warm-up, {} passes of the traffic through each build, interleaved, on one \
                     thread, {cpu}. Total duration: {:.1} s.",
                    method.warm_up_ms,
                    format::count(method.passes as f64),
                    method.took_ms as f64 / 1000.0
                ),
                format!(
                    "Times cover the plugin’s callbacks and the loader’s work for them; the simulated proxy is \
                     not included unless stated. The timer overhead of {} ns is subtracted from each callback; \
                     the intervals include the effect of the clock’s resolution, {} ns.",
                    method.timer_overhead_ns, method.timer_step_ns
                ),
                "The time was cut into blocks. A number is the median of the blocks’ medians (or p99s), a ratio \
                 the median of the blocks’ ratios; the interval is the 95 % order-statistic interval of that \
                 median, which is distribution-free. A temporary disturbance affects a minority of blocks and \
                 moves none of these. No outliers were discarded: the maxima and the data in this page include \
                 them."
                    .to_owned(),
            ];
            text.iter().for_each(|text| card.text_tag("p", &[], text));
        });
    }
    main.tag("footer", &[], |footer| {
        footer.tag("p", &[], |p| {
            p.text(format!("Created at {} by ", report.created));
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
