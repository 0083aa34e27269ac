//! A difference between two sides.

use crate::trace::Aspect;

/// A difference between two sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Description of what differs.
    pub aspect: String,
    /// Values of both sides: native, wasm.
    pub values: [String; 2],
}

/// The first difference between two lists of aspects.
pub(crate) fn of_lines(native: &[Aspect], wasm: &[Aspect]) -> Option<Found> {
    let longest = native.len().max(wasm.len());
    (0..longest).find_map(|index| {
        let (a, b) = (native.get(index), wasm.get(index));
        if a == b {
            return None;
        }
        let aspect = a.or(b).map_or("", |(aspect, _)| aspect);
        let text = |line: Option<&Aspect>| match line {
            None => "nothing".to_owned(),
            Some((of, value)) if of == aspect => value.clone(),
            Some((of, value)) => format!("{of}: {value}"),
        };
        Some(Found { aspect: aspect.to_owned(), values: [text(a), text(b)] })
    })
}
