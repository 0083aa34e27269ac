//! Where in its image a plugin was when it crashed, with the names of its functions.

/// Most frames that are kept.
const FRAMES: usize = 32;

/// Addresses within an image, relative to its base, innermost first: of the instruction that was interrupted, and of calls under way (the last
/// byte of each).
#[derive(Clone, Copy, Default)]
pub(super) struct Backtrace {
    frames: [u64; FRAMES],
    len: usize,
}

impl Backtrace {
    pub(super) fn frames(&self) -> &[u64] {
        &self.frames[..self.len]
    }

    /// Adds a frame, if there is room.
    pub(super) fn push(&mut self, address: u64) {
        if let Some(place) = self.frames.get_mut(self.len) {
            *place = address;
            self.len += 1;
        }
    }
}

/// The functions of an image by address, read when the module was made: the file may be another one when it crashes.
#[derive(Debug, Default)]
pub(super) struct Symbols {
    /// Address relative to the image's base, size, where the name begins in `names`, its length.
    functions: Vec<(u64, u32, u32, u32)>,
    names: String,
}

impl Symbols {
    /// From symbols in any order.
    pub(super) fn new<'a>(symbols: impl Iterator<Item = (u64, u64, &'a str)>) -> Symbols {
        let mut table = Symbols::default();
        for (address, size, name) in symbols {
            let entry = (address, u32::try_from(size).unwrap_or(u32::MAX), table.names.len() as u32, name.len() as u32);
            table.functions.push(entry);
            table.names.push_str(name);
        }
        table.functions.sort_unstable();
        table
    }

    /// The frames as lines of text: number, offset in the image, function and offset in it.
    pub(super) fn describe(&self, frames: &[u64]) -> String {
        use std::fmt::Write as _;
        let mut text = String::new();
        for (number, address) in frames.iter().enumerate() {
            let _ = match self.find(*address) {
                Some((name, offset)) => write!(text, "\n  {number:>2}: {address:#x} {name}+{offset:#x}"),
                None => write!(text, "\n  {number:>2}: {address:#x}"),
            };
        }
        text
    }

    fn find(&self, address: u64) -> Option<(String, u64)> {
        let after = self.functions.partition_point(|(start, ..)| *start <= address);
        let (start, size, name, len) = *self.functions.get(after.checked_sub(1)?)?;
        let offset = address - start;
        (offset < u64::from(size).max(1)).then_some(())?;
        Some((demangled(self.names.get(name as usize..(name + len) as usize)?), offset))
    }
}

fn demangled(name: &str) -> String {
    if let Ok(rust) = rustc_demangle::try_demangle(name) {
        return format!("{rust:#}");
    }
    let cpp = cpp_demangle::BorrowedSymbol::new(name.as_bytes()).ok().and_then(|symbol| symbol.demangle().ok());
    cpp.unwrap_or_else(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_and_demangled() {
        let symbols = [(0x20, 8, "_ZN3foo3barEv"), (0x10, 8, "plain"), (0x40, 16, "_RNvC6_123foo3bar")];
        let symbols = Symbols::new(symbols.into_iter());
        let mut backtrace = Backtrace::default();
        for address in [0x11, 0x27, 0x30, 0x40] {
            backtrace.push(address);
        }
        assert_eq!(
            symbols.describe(backtrace.frames()),
            "\n   0: 0x11 plain+0x1\n   1: 0x27 foo::bar()+0x7\n   2: 0x30\n   3: 0x40 123foo::bar+0x0"
        );
    }
}
