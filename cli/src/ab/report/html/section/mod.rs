//! Sections, in the order of the page.

mod callbacks;
mod cost;
mod difference;
mod environment;
mod envoy;
mod growth;
mod latency;
mod method;
mod start;
mod thresholds;
mod verdict;

use super::markup::Markup;
use crate::ab::report::Report;

pub fn all(main: &mut Markup, report: &Report) {
    verdict::write(main, report);
    difference::write(main, report);
    verdict::warnings(main, report);
    thresholds::write(main, report);
    if let Some(numbers) = &report.measured {
        latency::write(main, numbers);
        callbacks::write(main, numbers);
        growth::write(main, numbers);
        start::write(main, numbers);
        cost::write(main, numbers);
    }
    if let Some(in_envoy) = &report.envoy {
        envoy::write(main, in_envoy);
    }
    environment::write(main, report);
    method::write(main, report);
}

/// A section with a heading.
fn card(main: &mut Markup, title: &str, inside: impl FnOnce(&mut Markup)) {
    main.tag("section", &[("class", &"card")], |section| {
        section.text_tag("h2", &[], title);
        inside(section);
    });
}

/// Legend of the marks of both builds.
fn legend(page: &mut Markup) {
    page.tag("p", &[("class", &"legend"), ("aria-hidden", &"true")], |legend| {
        for build in ["native", "wasm"] {
            legend.tag("span", &[("class", &build)], |item| item.text(build));
            legend.text(" ");
        }
    });
}

/// The data of a figure as a collapsible table.
fn numbers(page: &mut Markup, head: &[&str], rows: &[Vec<String>]) {
    page.tag("details", &[], |details| {
        details.text_tag("summary", &[], "Numbers");
        table(details, head, rows);
    });
}

/// A table whose first column holds names.
fn table(page: &mut Markup, head: &[&str], rows: &[Vec<String>]) {
    page.tag("div", &[("class", &"scroll")], |scroll| {
        scroll.tag("table", &[], |table| {
            table.tag("thead", &[], |thead| {
                thead.tag("tr", &[], |tr| head.iter().for_each(|cell| tr.text_tag("th", &[("scope", &"col")], cell)));
            });
            table.tag("tbody", &[], |tbody| {
                for row in rows {
                    tbody.tag("tr", &[], |tr| {
                        for (index, cell) in row.iter().enumerate() {
                            if index == 0 {
                                tr.text_tag("th", &[("scope", &"row")], cell);
                            } else {
                                tr.text_tag("td", &[], cell);
                            }
                        }
                    });
                }
            });
        });
    });
}
