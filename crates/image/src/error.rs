//! Why a file cannot be linked or mapped.

use std::fmt;
use std::io;

use object::elf;

/// Why a shared object is refused: the fact, and what to do. Nothing of the file has run.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The file contradicts itself or ends too early.
    Damaged(String),
    /// The file is for another class or byte order, or cannot be a shared object: the fact and the remedy.
    NotLoadable(&'static str),
    /// The file is for another machine.
    Machine {
        /// The machine's number in the file (`e_machine`).
        file: u16,
        /// The number of this machine.
        here: u16,
    },
    /// The file wants its code changed when it is loaded: it was not compiled as position-independent code.
    TextRelocations,
    /// A segment is both writable and executable.
    WritableCode {
        /// The segment's address.
        at: u64,
    },
    /// Two segments with different rights share a page of this system.
    SharedPage {
        /// The second segment's address.
        at: u64,
        /// This system's page size.
        page: u64,
    },
    /// The file wants an executable stack.
    ExecutableStack,
    /// The file is a filter for another library (`DT_FILTER`, `DT_AUXILIARY`).
    Filter,
    /// The image would be larger than this crate maps.
    TooLarge {
        /// Its size in memory.
        size: u64,
    },
    /// The file uses a thread-local variable of another library.
    ForeignThreadLocal {
        /// The variable.
        symbol: String,
    },
    /// The file uses initial-exec thread-local storage and starts threads.
    StaticTlsWithThreads {
        /// The function that starts threads.
        function: String,
    },
    /// The file and a library that it needs both use libstdc++: the file the private copy, the library the system's.
    TwoCppRuntimes {
        /// The library.
        library: String,
    },
    /// A relocation of a type that this crate does not apply.
    Relocation {
        /// The type's number on the file's machine.
        kind: u32,
        /// The address to be relocated.
        at: u64,
    },
    /// A symbol that no library defines.
    Unresolved {
        /// The symbol.
        symbol: String,
        /// The version that the file asks for.
        version: Option<String>,
        /// The library that had the symbol when the file was linked.
        library: Option<String>,
    },
    /// A library that the file needs cannot be opened.
    Library {
        /// The library.
        name: String,
        /// What the system's loader said.
        reason: String,
    },
    /// The constructors of a library that the file needs end the process, or do not end.
    Constructors {
        /// The library.
        library: String,
        /// What happened in a child process.
        reason: String,
    },
    /// A library that the file needs is looked up in folders relative to the file, and the file was loaded from memory.
    NoOrigin {
        /// The library.
        name: String,
        /// The folder as the file names it.
        folder: String,
    },
    /// A library or folder is named by a path that depends on the working directory.
    RelativePath {
        /// The path.
        path: String,
    },
    /// The plugin's file is not the one that was read.
    Changed,
    /// A system call failed.
    System {
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

impl Error {
    pub(crate) fn damaged(what: impl Into<String>) -> Error {
        Error::Damaged(what.into())
    }

    /// The last error of a system call.
    pub(crate) fn last_os(action: &'static str) -> Error {
        Error::System { action, source: io::Error::last_os_error() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Damaged(what) => write!(f, "the ELF file is damaged or truncated: {what}; copy or build it again"),
            Error::NotLoadable(text) => f.write_str(text),
            Error::Machine { file, here } => write!(
                f,
                "this ELF file is for {}; this machine is {}: build the plugin for it, or use its .wasm",
                Machine(*file),
                Machine(*here)
            ),
            Error::TextRelocations => f.write_str(
                "its code has to be changed when it is loaded (text relocations): compile all of it as position-independent code \
                 (-fPIC)",
            ),
            Error::WritableCode { at } => write!(
                f,
                "its segment at {at:#x} is both writable and executable: link it without -N (--omagic) and without a linker script \
                 that puts code and data into one segment"
            ),
            Error::SharedPage { at, page } => write!(
                f,
                "its segment at {at:#x} shares a page of {page} bytes with the one before: link it with -z max-page-size={page}"
            ),
            Error::ExecutableStack => f.write_str(
                "it asks for an executable stack: link it with -z noexecstack, and give assembler files a section .note.GNU-stack",
            ),
            Error::Filter => {
                f.write_str("it is a filter for another library (DT_FILTER or DT_AUXILIARY): link the plugin with that library instead")
            }
            Error::TooLarge { size } => {
                write!(f, "it takes {size} bytes of addresses, more than 2 GiB: allocate large memory when the plugin runs")
            }
            Error::ForeignThreadLocal { symbol } => write!(
                f,
                "it uses the thread-local variable {symbol} of another library: link that library statically, or reach the variable \
                 through a function"
            ),
            Error::StaticTlsWithThreads { function } => write!(
                f,
                "it starts threads ({function}) and uses thread-local storage of the initial-exec model: compile it without \
                 -ftls-model=initial-exec"
            ),
            Error::TwoCppRuntimes { library } => write!(
                f,
                "it and the library {library} are both C++, and an exception could not pass between them: link the plugin statically \
                 with that library"
            ),
            Error::Relocation { kind, at } => write!(
                f,
                "it has a relocation of type {kind} at {at:#x}, which is not supported: compile all of it as position-independent code \
                 (-fPIC)"
            ),
            Error::Unresolved { symbol, version, library } => {
                write!(f, "its symbol {symbol}")?;
                if let Some(version) = version {
                    write!(f, "@{version}")?;
                }
                match library {
                    Some(library) => write!(f, " is not in this system's {library}")?,
                    None => f.write_str(" is defined neither by it nor by a library that it needs")?,
                }
                match version {
                    Some(_) => f.write_str(": build the plugin on this system or an older one"),
                    None => f.write_str(": link the plugin with what it needs"),
                }
            }
            Error::Library { name, reason } => {
                write!(f, "the library {name} cannot be opened ({reason}): install it, or link the plugin statically with it")
            }
            Error::Constructors { library, reason } => write!(
                f,
                "the library {library} cannot be opened ({reason}, in a child process): install one that works, or link the plugin \
                 statically with it"
            ),
            Error::NoOrigin { name, folder } => write!(
                f,
                "it looks for the library {name} in {folder}, and was loaded from memory, not from a folder: load it by its path, or link \
                 the plugin statically with the library"
            ),
            Error::RelativePath { path } => write!(
                f,
                "it looks for libraries at {path}, which depends on the working directory: link it with a path that begins with / or \
                 $ORIGIN"
            ),
            Error::Changed => f.write_str("the file was changed after it was read: load it again"),
            Error::System { action, .. } => write!(f, "{action} failed"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::System { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// The name of a machine.
struct Machine(u16);

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            elf::EM_X86_64 => "x86-64",
            elf::EM_AARCH64 => "aarch64",
            elf::EM_386 => "x86 (32 bits)",
            elf::EM_ARM => "arm (32 bits)",
            elf::EM_RISCV => "riscv",
            elf::EM_PPC64 => "ppc64",
            elf::EM_S390 => "s390x",
            other => return write!(f, "machine number {other}"),
        })
    }
}
