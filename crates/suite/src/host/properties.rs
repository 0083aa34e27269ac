//! Properties outside streams: only the plugin's root id, which the C++ SDK reads.

use std::borrow::Cow;

use dynvm::host::{Properties, PropertyError, PropertyPath};

pub(crate) struct OfPlugin;

impl Properties for OfPlugin {
    fn property(&self, path: PropertyPath<'_>) -> Result<Cow<'_, [u8]>, PropertyError> {
        if path.as_bytes() == b"plugin_root_id" { Ok(Cow::Borrowed(b"")) } else { Err(PropertyError::Unimplemented) }
    }
}
