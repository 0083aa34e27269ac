//! Where hosts of Proxy-Wasm differ in what they have and answer.

use std::collections::BTreeSet;

/// What a host has and how it answers, where hosts differ. The default is Envoy: everything is there.
///
/// For embedders that offer less, and for test hosts that have to answer as another host does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HostProfile {
    /// Hostcalls that this host does not have (`proxy_http_call`, ...): the plugin gets `Unimplemented`, and no service is asked.
    /// A plugin may still import them.
    pub unimplemented: BTreeSet<String>,
    /// A header map that is not there now is an error to read: `BadArgument` on a stream, `Unimplemented` elsewhere. By default it reads as
    /// empty, since the Rust SDK panics at the error.
    pub strict_header_maps: bool,
    /// Properties are those of the context alone: a stream's from [`Stream`](crate::host::Stream), any other's from
    /// [`Properties`](crate::host::Properties). By default the VM answers `plugin_name` and its like first, and a stream that does not know
    /// a property leaves it to `Properties`.
    pub separate_properties: bool,
    /// There is no VM configuration: reading its buffer gives `NotFound`, not an empty value.
    pub no_vm_configuration: bool,
}

impl HostProfile {
    /// Names hostcalls that this host does not have.
    pub fn without<N: Into<String>>(mut self, hostcalls: impl IntoIterator<Item = N>) -> HostProfile {
        self.unimplemented.extend(hostcalls.into_iter().map(Into::into));
        self
    }
}
