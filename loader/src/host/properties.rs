//! Properties that do not belong to a stream, and the order in which sources of properties are asked.

use std::borrow::Cow;

use super::{PropertyError, PropertyPath, Stream};

/// Properties that do not belong to a stream: of the node, of the listener, of the plugin's
/// configuration.
///
/// The VM itself answers `plugin_name`, `plugin_root_id` and `plugin_vm_id`
/// ([`find`](Properties::find)).
pub trait Properties {
    /// The value in the ABI's encoding.
    fn property(&self, path: PropertyPath<'_>) -> Result<Cow<'_, [u8]>, PropertyError>;

    /// Sets a property from a context without a stream.
    fn set_property(&self, path: PropertyPath<'_>, value: &[u8]) -> Result<(), PropertyError> {
        let _ = (path, value);
        Err(PropertyError::NotFound)
    }

    /// Answers a plugin's request for a property. By default as Envoy does: the plugin's own
    /// properties come first, then the stream's, then [`property`](Properties::property).
    fn find<'a>(
        &'a self,
        path: PropertyPath<'_>,
        context: &PropertyContext<'a>,
    ) -> Result<Cow<'a, [u8]>, PropertyError> {
        if let Some(value) = context.own(path) {
            return Ok(Cow::Borrowed(value.as_bytes()));
        }
        match context.stream.map(|stream| stream.property(path)) {
            None | Some(Err(PropertyError::NotFound)) => self.property(path),
            Some(result) => result,
        }
    }
}

/// The context in which a plugin asks for a property.
#[non_exhaustive]
pub struct PropertyContext<'a> {
    /// `PluginConfig::name`; `None` while the VM starts, which no plugin configuration owns.
    pub plugin_name: Option<&'a str>,
    /// `PluginConfig::root_id`; empty while the VM starts.
    pub root_id: &'a str,
    /// `VmConfig::vm_id`.
    pub vm_id: &'a str,
    /// The stream, if the context is one.
    pub stream: Option<&'a dyn Stream>,
}

impl<'a> PropertyContext<'a> {
    /// The properties that the plugin's configuration determines.
    fn own(&self, path: PropertyPath<'_>) -> Option<&'a str> {
        match path.as_bytes() {
            b"plugin_name" => self.plugin_name,
            b"plugin_root_id" => Some(self.root_id),
            b"plugin_vm_id" => Some(self.vm_id),
            _ => None,
        }
    }
}

/// A host without properties.
pub struct NoProperties;

impl Properties for NoProperties {
    fn property(&self, _: PropertyPath<'_>) -> Result<Cow<'_, [u8]>, PropertyError> {
        Err(PropertyError::NotFound)
    }
}
