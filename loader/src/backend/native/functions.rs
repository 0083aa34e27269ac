//! Names of the plugin's functions, for backtraces.

use std::sync::{Arc, OnceLock};

use dynvm_image::{Functions, Linked};

/// The functions of one module by address, read when they are first needed.
#[derive(Clone)]
pub(super) enum FunctionNames {
    Linked(Arc<Linked>),
    File(Arc<(Box<[u8]>, OnceLock<Functions>)>),
}

impl FunctionNames {
    pub(super) fn of_file(bytes: &[u8]) -> FunctionNames {
        FunctionNames::File(Arc::new((bytes.into(), OnceLock::new())))
    }

    fn functions(&self) -> &Functions {
        match self {
            FunctionNames::Linked(linked) => linked.functions(),
            FunctionNames::File(file) => file.1.get_or_init(|| Functions::read(&file.0)),
        }
    }

    /// Formats frames, one a line: number, address relative to the image's base, function and offset in it.
    pub(super) fn describe(&self, frames: &[u64]) -> String {
        describe(self.functions(), frames)
    }
}

fn describe(functions: &Functions, frames: &[u64]) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    for (number, address) in frames.iter().enumerate() {
        let _ = match functions.find(*address) {
            Some((name, offset)) => write!(text, "\n  {number:>2}: {address:#x} {}+{offset:#x}", demangled(name)),
            None => write!(text, "\n  {number:>2}: {address:#x}"),
        };
    }
    text
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
    fn names_are_demangled() {
        let names = ["_ZN3foo3barEv", "plain", "_RNvC6_123foo3bar"];
        assert_eq!(names.map(demangled), ["foo::bar()", "plain", "123foo::bar"]);
    }
}
