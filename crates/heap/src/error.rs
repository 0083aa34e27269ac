//! Why an operation of a heap does not do what was asked.

use std::fmt;

/// What a heap answers when it does not do what was asked. Nothing was changed then, unless it says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The heap's limit does not allow it.
    Limit,
    /// The system has no memory, or the heap's range no addresses for it.
    NoMemory,
    /// The address is in no heap's range: it is for the C library's function of the same name.
    NotOurs,
    /// The address is in a heap's range, but not that of a live block: the plugin has a defect.
    Corrupt(Corrupt),
}

/// What is wrong with an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corrupt {
    /// The defect.
    pub what: Corruption,
    /// The address that was passed.
    pub address: usize,
}

/// A defect of a plugin's use of its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Corruption {
    /// The block is free: it was freed before, or never allocated.
    Freed,
    /// The address is inside of a block, not at its start.
    Interior,
    /// No block can start there: addresses of blocks are multiples of 16.
    Misaligned,
    /// Nothing is allocated there.
    Unallocated,
    /// The heap has ended, and its memory with it.
    Ended,
    /// A block that another thread freed was written to afterwards. It and others freed with it remain allocated.
    Overwritten,
}

impl Error {
    pub(crate) fn corrupt(what: Corruption, address: usize) -> Error {
        Error::Corrupt(Corrupt { what, address })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Limit => f.write_str("the heap's limit is reached"),
            Error::NoMemory => f.write_str("out of memory"),
            Error::NotOurs => f.write_str("the address is in no heap"),
            Error::Corrupt(corrupt) => corrupt.fmt(f),
        }
    }
}

impl std::error::Error for Error {}

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.what {
            Corruption::Freed => "the block is free already",
            Corruption::Interior => "the address is inside of a block",
            Corruption::Misaligned => "the address is not aligned",
            Corruption::Unallocated => "nothing is allocated there",
            Corruption::Ended => "the heap it was in has ended",
            Corruption::Overwritten => "a block was written to after it was freed",
        };
        write!(f, "{:#x}: {what}", self.address)
    }
}
