//! The HTML report: the verdict, figures, the method. The page is self-contained: it runs no
//! script, fetches nothing, and contains the raw data.

mod figure;
mod format;
mod markup;
mod section;

use markup::Markup;

use super::Report;

/// Renders the report as a page.
///
/// # Errors
///
/// Never in practice: all numbers are finite.
pub fn html(report: &Report) -> anyhow::Result<String> {
    let data = serde_json::to_string(report)?;
    let mut page = Markup::default();
    page.own("<!DOCTYPE html>\n");
    page.tag("html", &[("lang", &"en")], |page| {
        page.tag("head", &[], |head| self::head(head, report));
        page.tag("body", &[], |body| {
            body.tag("main", &[], |main| section::all(main, report));
            body.json_script("dynvm-ab", &data);
        });
    });
    Ok(page.finish())
}

/// The page may load nothing from outside, whatever text the report contains.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";

fn head(head: &mut Markup, report: &Report) {
    head.void_tag("meta", &[("charset", &"utf-8")]);
    head.void_tag("meta", &[("http-equiv", &"Content-Security-Policy"), ("content", &POLICY)]);
    head.void_tag("meta", &[("name", &"viewport"), ("content", &"width=device-width, initial-scale=1")]);
    head.void_tag("meta", &[("name", &"color-scheme"), ("content", &"light dark")]);
    head.void_tag("link", &[("rel", &"icon"), ("href", &"data:,")]);
    head.text_tag("title", &[], format!("{}: native and wasm, dynvm ab", report.plugin));
    head.tag("style", &[], |style| style.own(include_str!("style.css")));
}

#[cfg(test)]
mod tests;
