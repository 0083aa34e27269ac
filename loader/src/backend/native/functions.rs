//! Names of the plugin's functions, for backtraces.

#[cfg(feature = "native")]
use std::sync::{Arc, OnceLock};

#[cfg(feature = "native")]
use dynvm_image::{Functions, Linked};

/// The functions of one module by address, read when they are first needed.
#[derive(Clone)]
pub(super) enum FunctionNames {
    #[cfg(feature = "native")]
    Linked(Arc<Linked>),
    #[cfg(feature = "native")]
    File(Arc<(Box<[u8]>, OnceLock<Functions>)>),
    /// Those of the program.
    #[cfg(feature = "null")]
    OfProgram,
}

impl FunctionNames {
    #[cfg(feature = "native")]
    pub(super) fn of_file(bytes: &[u8]) -> FunctionNames {
        FunctionNames::File(Arc::new((bytes.into(), OnceLock::new())))
    }

    /// The name of the function that has an address, demangled, and the offset in it.
    fn find(
        &self,
        #[cfg_attr(not(feature = "native"), expect(unused_variables, reason = "no names are known"))] address: u64,
    ) -> Option<(String, u64)> {
        #[cfg(feature = "native")]
        let functions = match self {
            FunctionNames::Linked(linked) => linked.functions(),
            FunctionNames::File(file) => file.1.get_or_init(|| Functions::read(&file.0)),
            #[cfg(feature = "null")]
            FunctionNames::OfProgram => of_program()?,
        };
        #[cfg(feature = "native")]
        return functions.find(address).map(|(name, offset)| (demangled(name), offset));
        #[cfg(not(feature = "native"))]
        None
    }

    /// Formats frames, one a line: number, address relative to the image's base, function and offset in it.
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
}

/// The functions of the program's own file; `None` if it cannot be read, or would take too long for a thread that serves.
#[cfg(all(feature = "null", feature = "native"))]
fn of_program() -> Option<&'static Functions> {
    const FILE: &str = "/proc/self/exe";
    const MAX_SIZE: u64 = 64 << 20;
    static FUNCTIONS: OnceLock<Option<Functions>> = OnceLock::new();
    let read = || {
        let size = std::fs::metadata(FILE).ok()?.len();
        let bytes = (size <= MAX_SIZE).then(|| std::fs::read(FILE).ok())??;
        Some(Functions::read(&bytes))
    };
    FUNCTIONS.get_or_init(read).as_ref()
}

#[cfg(feature = "native")]
fn demangled(name: &str) -> String {
    if let Ok(rust) = rustc_demangle::try_demangle(name) {
        return format!("{rust:#}");
    }
    let cpp = cpp_demangle::BorrowedSymbol::new(name.as_bytes()).ok().and_then(|symbol| symbol.demangle().ok());
    cpp.unwrap_or_else(|| name.to_owned())
}

#[cfg(all(test, feature = "native"))]
mod tests {
    use super::*;

    #[test]
    fn names_are_demangled() {
        let names = ["_ZN3foo3barEv", "plain", "_RNvC6_123foo3bar"];
        assert_eq!(names.map(demangled), ["foo::bar()", "plain", "123foo::bar"]);
    }
}
