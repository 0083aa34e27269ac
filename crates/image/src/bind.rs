//! What the undefined symbols of a file are bound to.

use crate::elf::Import;

/// Who needs a symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Importer<'a> {
    /// The plugin.
    Plugin,
    /// A [private copy](crate::Runtimes) of a library of the system, such as `libstdc++.so.6`, which all plugins share.
    Runtime(&'a str),
}

/// Gives functions and variables of the program to images, in place of the system's.
///
/// Implemented by closures. It is asked once for each symbol when a file is linked, not when an image is mapped.
pub trait Bind {
    /// The address that a symbol is bound to. `None`: what the libraries define that the file needs.
    fn bind(&self, importer: Importer<'_>, import: &Import) -> Option<usize>;
}

impl<F: Fn(Importer<'_>, &Import) -> Option<usize>> Bind for F {
    fn bind(&self, importer: Importer<'_>, import: &Import) -> Option<usize> {
        self(importer, import)
    }
}
