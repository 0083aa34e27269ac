//! One private mapping of a shared object: a file of its own, opened by the system's loader.
//!
//! The copy has a path and an inode that no other image has, so the system's loader gives it statics of its own (it takes two files of
//! the same path or inode for one), and neither a deploy that overwrites the plugin's path nor a second VM changes it.

use std::io::Write as _;
use std::ops::Range;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use tempfile::TempPath;

/// An open image. Closed when dropped.
pub(super) struct Image {
    base: usize,
    span: Range<usize>,
    // Closed before the file is removed, should it have been kept.
    library: Option<Library>,
    _file: Option<TempPath>,
}

impl Image {
    /// Writes a copy and opens it. Its constructors run.
    ///
    /// # Safety
    ///
    /// The code is trusted: it runs with all rights of the process. `span` is what its segments take, and `marker` is a symbol that it
    /// exports at this address relative to its base.
    ///
    /// # Errors
    ///
    /// What the system said, and what to do.
    pub(super) unsafe fn open(
        bytes: &[u8],
        dir: &Path,
        keep: bool,
        span: &Range<u64>,
        marker: (&str, u64),
    ) -> Result<Image, String> {
        let path = write_copy(bytes, dir)?;
        // SAFETY: the caller vouches for the code.
        let library =
            unsafe { Library::open(Some(&*path), RTLD_NOW | RTLD_LOCAL) }.map_err(|error| explain(&error, dir))?;
        let (name, offset) = marker;
        // SAFETY: only the address is used.
        let symbol = unsafe { library.get::<unsafe extern "C" fn()>(name.as_bytes()) };
        let symbol = symbol.map_err(|error| format!("its symbol {name} is gone: {error}"))?;
        let base = (*symbol as usize)
            .checked_sub(offset as usize)
            .ok_or_else(|| format!("its symbol {name} was found in another library"))?;
        let span = base + span.start as usize..base + span.end as usize;
        let file = if keep {
            Some(path)
        } else {
            drop(path);
            None
        };
        Ok(Image { base, span, library: Some(library), _file: file })
    }

    /// The address of something in the image.
    pub(super) fn address(&self, offset: u64) -> usize {
        self.base + offset as usize
    }

    /// The addresses that the image takes.
    pub(super) fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// The open library.
    pub(super) fn library(&self) -> &Library {
        self.library.as_ref().expect("there until the image is dropped")
    }

    /// The image's base address.
    pub(super) fn base(&self) -> usize {
        self.base
    }

    /// Leaves the image mapped for ever: for one whose code may still be referred to.
    pub(super) fn leak(mut self) {
        std::mem::forget(self.library.take());
    }
}

/// Writes bytes to a new file that only this user can read.
fn write_copy(bytes: &[u8], dir: &Path) -> Result<TempPath, String> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let failed = |error: std::io::Error| {
        format!(
            "a private copy cannot be written to {}: {error}; choose another directory (Options::image_dir)",
            dir.display()
        )
    };
    let mut file = tempfile::Builder::new()
        .prefix(&format!("dynvm-{}-{count}-", std::process::id()))
        .suffix(".so")
        .permissions(std::fs::Permissions::from_mode(0o500))
        .tempfile_in(dir)
        .map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    // The file is closed here: the system's loader refuses nothing for being open, but a descriptor per image adds up.
    Ok(file.into_temp_path())
}

/// The system's message, with what to do about it.
fn explain(error: &libloading::Error, dir: &Path) -> String {
    let text = match std::error::Error::source(error) {
        Some(source) => source.to_string(),
        None => error.to_string(),
    };
    let remedy = if text.contains("undefined symbol") {
        "the plugin refers to something that neither it nor the libraries it needs define: link it with what it needs"
    } else if text.contains("cannot open shared object file") {
        "a library that it needs is not installed: install it, or link the plugin statically with it"
    } else if text.contains("version `") {
        "it was built on a newer system: build it on this one or an older one"
    } else if text.contains("failed to map") || text.contains("cannot change memory protections") {
        return format!(
            "{text} (mount {} without noexec, or choose another directory: Options::image_dir)",
            dir.display()
        );
    } else {
        return text;
    };
    format!("{text} ({remedy})")
}
