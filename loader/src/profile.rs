//! Differences between hosts of Proxy-Wasm.

use std::collections::BTreeSet;

/// Hostcalls that a host offers and how it answers them, where hosts differ. The default is Envoy's
/// behaviour, with every hostcall.
///
/// For embedders that offer less, and for test hosts that imitate another host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HostProfile {
    /// Hostcalls that the host does not implement (`proxy_http_call`, ...): the plugin gets
    /// `Unimplemented`, and no service is called. A plugin may still import them.
    pub unimplemented: BTreeSet<String>,
    /// Reading an absent header map is an error: `BadArgument` on a stream, `Unimplemented`
    /// elsewhere. By default it reads as empty, because the Rust SDK panics at the error.
    pub strict_header_maps: bool,
    /// Properties come from one source: a stream's from [`Stream`](crate::host::Stream), all others
    /// from [`Properties`](crate::host::Properties). By default the VM answers `plugin_name` and
    /// the like first, and a property unknown to the stream is looked up in `Properties`.
    pub separate_properties: bool,
    /// Without a VM configuration, reading its buffer returns `NotFound`. By default it returns an
    /// empty value.
    pub no_vm_configuration: bool,
}

impl HostProfile {
    /// Adds hostcalls that this host does not implement.
    pub fn without<N: Into<String>>(mut self, hostcalls: impl IntoIterator<Item = N>) -> HostProfile {
        self.unimplemented.extend(hostcalls.into_iter().map(Into::into));
        self
    }
}
