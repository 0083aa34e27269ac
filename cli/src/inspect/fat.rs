//! Prints the additional facts about a fat plugin.

use dynvm::bundle::hex;
use dynvm::inspect::{FatPlugin, FatPluginImage, Inspection};
use owo_colors::OwoColorize as _;
use serde::Serialize;

/// Prints lines through `line`.
pub fn print(fat: &FatPlugin, size: usize, line: impl Fn(&str, &str)) {
    line("kind", &format!("fat plugin, {size} bytes: wasm, {} bytes, and native images", fat.wasm_size));
    for image in &fat.images {
        let verdict = match &image.refusal {
            None => "would load here".green().to_string(),
            Some(refusal) => format!("{}: {refusal}", "would not load here".yellow()),
        };
        let digest = hex(&image.digest);
        line("image", &format!("{}, {} bytes, sha256 {digest}, {verdict}", image.machine, image.size));
    }
    line("signature", &signature(fat));
}

fn signature(fat: &FatPlugin) -> String {
    let Some(text) = &fat.signature else { return "none".to_owned() };
    let comment = text.lines().find_map(|line| line.strip_prefix("trusted comment: ")).unwrap_or_default();
    // The comment is untrusted text.
    let comment: String = comment.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("minisign, not verified here: {comment}")
}

/// The part that would be loaded, as a suffix of the verdict.
pub fn choice(inspection: &Inspection) -> String {
    let chosen = inspection.fat.as_ref().and_then(|fat| fat.chosen.as_ref());
    chosen.map_or_else(String::new, |chosen| format!(" as {}: {}", chosen.part, chosen.reason))
}

/// The JSON of a fat plugin.
#[derive(Serialize)]
pub struct Json<'a> {
    wasm_size_bytes: usize,
    images: Vec<JsonImage<'a>>,
    signature: Option<&'a str>,
    chosen: Option<JsonChoice<'a>>,
}

#[derive(Serialize)]
struct JsonImage<'a> {
    machine: &'a str,
    size_bytes: usize,
    sha256: String,
    would_load: bool,
    refusal: Option<&'a str>,
}

#[derive(Serialize)]
struct JsonChoice<'a> {
    part: String,
    reason: &'a str,
}

impl<'a> From<&'a FatPlugin> for Json<'a> {
    fn from(of: &'a FatPlugin) -> Json<'a> {
        let image = |image: &'a FatPluginImage| JsonImage {
            machine: &image.machine,
            size_bytes: image.size,
            sha256: hex(&image.digest),
            would_load: image.refusal.is_none(),
            refusal: image.refusal.as_deref(),
        };
        Json {
            wasm_size_bytes: of.wasm_size,
            images: of.images.iter().map(image).collect(),
            signature: of.signature.as_deref(),
            chosen: of
                .chosen
                .as_ref()
                .map(|chosen| JsonChoice { part: chosen.part.to_string(), reason: &chosen.reason }),
        }
    }
}
