//! Signatures of modules, as `wasmsign2` makes them and proxy-wasm-cpp-host verifies them.

use wasmparser::{Parser, Payload};

/// Name of the custom section, which directly follows the header.
const SECTION: &str = "signature";

/// The bytes before and behind the signature of a module; all of them, and none, if it has none.
///
/// The signature covers everything behind it, so a fat plugin is signed last, and its manifest cannot cover the signature.
pub(super) fn without_signature(wasm: &[u8]) -> [&[u8]; 2] {
    let mut sections = Parser::new(0).parse_all(wasm);
    if let Some(Ok(Payload::Version { range: header, .. })) = sections.next()
        && let Some(Ok(Payload::CustomSection(section))) = sections.next()
        && section.name() == SECTION
    {
        return [&wasm[header], &wasm[section.range().end..]];
    }
    [wasm, &[]]
}
