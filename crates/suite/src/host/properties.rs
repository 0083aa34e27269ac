//! Properties of one context: a stream's are those of its test, and a plugin has only its root id,
//! which the C++ SDK reads.

use std::borrow::Cow;

use dynvm::host::{Properties, PropertyContext, PropertyError, PropertyPath};

pub(crate) struct OfOneContext;

impl Properties for OfOneContext {
    fn property(&self, path: PropertyPath<'_>) -> Result<Cow<'_, [u8]>, PropertyError> {
        if path.as_bytes() == b"plugin_root_id" { Ok(Cow::Borrowed(b"")) } else { Err(PropertyError::Unimplemented) }
    }

    fn find<'a>(
        &'a self,
        path: PropertyPath<'_>,
        context: &PropertyContext<'a>,
    ) -> Result<Cow<'a, [u8]>, PropertyError> {
        context.stream.map_or_else(|| self.property(path), |stream| stream.property(path))
    }
}
