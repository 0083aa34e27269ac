//! Reads a [descriptor](crate::descriptor) from a loaded image, or from its file without running any of its code.
//!
//! Callers that parse the file format implement [`Image`]. The result is copied and checked, so that nothing in a
//! [`Description`] points into the plugin.

use std::ffi::c_void;
use std::fmt;
use std::mem::offset_of;

use crate::descriptor::{PluginDescriptor, StateModel};
use crate::version;

/// The longest accepted text of a descriptor, in bytes.
pub const MAX_TEXT: usize = 1024;

/// The largest accepted number of extensions.
pub const MAX_EXTENSIONS: usize = 64;

/// The contents of a plugin's descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Description {
    /// Version of the headers that the plugin was built with.
    pub header_version: u32,
    /// Where the plugin keeps its state.
    pub state_model: StateModel,
    /// The name of the plugin.
    pub name: String,
    /// The version of the plugin.
    pub version: Option<String>,
    /// The SDK and its version.
    pub sdk: Option<String>,
    /// The ids of the extensions that the plugin can use.
    pub wanted_extensions: Vec<String>,
}

/// Why a descriptor cannot be read. Every variant is a fault of the plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DescriptionError {
    /// The plugin was built with headers of another major version.
    Incompatible {
        /// The version that the descriptor names.
        header_version: u32,
    },
    /// The struct is shorter than the first version of it.
    Short {
        /// The size that the descriptor names.
        struct_size: u32,
    },
    /// A member, or its target, lies outside the image.
    Outside(&'static str),
    /// A required member is null.
    Null(&'static str),
    /// A text is longer than [`MAX_TEXT`], or there are more extensions than [`MAX_EXTENSIONS`].
    Long(&'static str),
    /// A text is not UTF-8.
    NotUtf8(&'static str),
}

impl fmt::Display for DescriptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DescriptionError::Incompatible { header_version } => write!(
                f,
                "the plugin's descriptor has header version {}.{}, this host understands {}.x",
                header_version >> 16,
                header_version & 0xffff,
                version::HEADER_VERSION_MAJOR
            ),
            DescriptionError::Short { struct_size } => {
                write!(f, "the plugin's descriptor has {struct_size} bytes, fewer than any version of it")
            }
            DescriptionError::Outside(member) => {
                write!(f, "`{member}` of the plugin's descriptor points outside of the image")
            }
            DescriptionError::Null(member) => {
                write!(f, "`{member}` of the plugin's descriptor is null")
            }
            DescriptionError::Long(member) => {
                write!(f, "`{member}` of the plugin's descriptor is too long")
            }
            DescriptionError::NotUtf8(member) => {
                write!(f, "`{member}` of the plugin's descriptor is not UTF-8")
            }
        }
    }
}

impl std::error::Error for DescriptionError {}

/// Memory of a plugin, addressed by the plugin's pointers. The plugin is built for this platform, so pointers have the
/// same width.
pub trait Image {
    /// Copies the bytes at `address`; `None` if they are not all in the image.
    fn read(&self, address: u64, into: &mut [u8]) -> Option<()>;

    /// The pointer stored at `address`, 0 for null; `None` if it is not in the image or points out of it. Where relocations were not
    /// applied yet, as in a file, this is the place to look them up.
    fn pointer(&self, address: u64) -> Option<u64>;
}

impl Description {
    /// Reads the descriptor at an address of an image.
    pub fn read(image: &impl Image, address: u64) -> Result<Description, DescriptionError> {
        let number = |member, offset: usize| {
            let mut bytes = [0; 4];
            let at = address.checked_add(offset as u64).ok_or(DescriptionError::Outside(member))?;
            image.read(at, &mut bytes).ok_or(DescriptionError::Outside(member))?;
            Ok(u32::from_ne_bytes(bytes))
        };
        // These two come first: they say whether the rest has the expected layout.
        let struct_size = number("struct_size", offset_of!(PluginDescriptor, struct_size))?;
        let header_version = number("header_version", offset_of!(PluginDescriptor, header_version))?;
        if !version::is_compatible(header_version) {
            return Err(DescriptionError::Incompatible { header_version });
        }
        if (struct_size as usize) < size_of::<PluginDescriptor>() {
            return Err(DescriptionError::Short { struct_size });
        }

        let state_model = number("state_model", offset_of!(PluginDescriptor, state_model))?;
        let text = |member, offset: usize| {
            let at = pointer(image, member, address, offset)?;
            if at == 0 {
                return Ok(None);
            }
            string(image, member, at).map(Some)
        };
        Ok(Description {
            header_version,
            state_model: StateModel::from_u32(state_model),
            name: text("name", offset_of!(PluginDescriptor, name))?.ok_or(DescriptionError::Null("name"))?,
            version: text("version", offset_of!(PluginDescriptor, version))?,
            sdk: text("sdk", offset_of!(PluginDescriptor, sdk))?,
            wanted_extensions: extensions(image, address)?,
        })
    }

    /// Reads the descriptor of an image that is mapped and relocated.
    ///
    /// # Safety
    ///
    /// `descriptor` is the address of the symbol [`DESCRIPTOR_SYMBOL`](crate::descriptor::DESCRIPTOR_SYMBOL) of an image that stays
    /// mapped during the call, and the image is trusted as code that will run: its pointers are followed without a check.
    pub unsafe fn of_loaded(descriptor: *const c_void) -> Result<Description, DescriptionError> {
        Description::read(&Loaded, descriptor as usize as u64)
    }
}

fn pointer(image: &impl Image, member: &'static str, address: u64, offset: usize) -> Result<u64, DescriptionError> {
    address.checked_add(offset as u64).and_then(|at| image.pointer(at)).ok_or(DescriptionError::Outside(member))
}

fn string(image: &impl Image, member: &'static str, address: u64) -> Result<String, DescriptionError> {
    let mut text = Vec::new();
    loop {
        // Byte by byte, since the text may end at the end of a mapping.
        let mut byte = [0];
        address
            .checked_add(text.len() as u64)
            .and_then(|at| image.read(at, &mut byte))
            .ok_or(DescriptionError::Outside(member))?;
        if byte[0] == 0 {
            return String::from_utf8(text).map_err(|_| DescriptionError::NotUtf8(member));
        }
        if text.len() == MAX_TEXT {
            return Err(DescriptionError::Long(member));
        }
        text.push(byte[0]);
    }
}

fn extensions(image: &impl Image, address: u64) -> Result<Vec<String>, DescriptionError> {
    const MEMBER: &str = "wanted_extensions";
    let list = pointer(image, MEMBER, address, offset_of!(PluginDescriptor, wanted_extensions))?;
    let mut ids = Vec::new();
    if list == 0 {
        return Ok(ids);
    }
    loop {
        let id = pointer(image, MEMBER, list, ids.len() * size_of::<usize>())?;
        if id == 0 {
            return Ok(ids);
        }
        if ids.len() == MAX_EXTENSIONS {
            return Err(DescriptionError::Long(MEMBER));
        }
        ids.push(string(image, MEMBER, id)?);
    }
}

/// The memory of this process. Only [`Description::of_loaded`] makes one, whose caller vouches for the addresses.
struct Loaded;

impl Image for Loaded {
    fn read(&self, address: u64, into: &mut [u8]) -> Option<()> {
        let from = address as usize as *const u8;
        // SAFETY: the caller of `of_loaded` promised a descriptor of a mapped image, whose members and texts these are; no more bytes
        // are read than a member has, and texts byte by byte up to their NUL.
        unsafe { std::ptr::copy_nonoverlapping(from, into.as_mut_ptr(), into.len()) };
        Some(())
    }

    fn pointer(&self, address: u64) -> Option<u64> {
        let mut bytes = [0; size_of::<usize>()];
        self.read(address, &mut bytes)?;
        Some(usize::from_ne_bytes(bytes) as u64)
    }
}
