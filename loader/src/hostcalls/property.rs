//! Hostcalls for properties.

use dynvm_abi::types::Status;

use super::Answer;
use crate::host::{PropertyError, PropertyPath};
use crate::instance::{Addr, Guest, InstanceState, Out, return_bytes};

impl From<PropertyError> for Status {
    fn from(error: PropertyError) -> Status {
        match error {
            PropertyError::NotFound => Status::NotFound,
            PropertyError::NotSerializable => Status::SerializationFailure,
            PropertyError::Internal => Status::InternalFailure,
            PropertyError::Unimplemented => Status::Unimplemented,
        }
    }
}

/// Looks up the plugin's own properties, then the stream's, then the host's; with
/// `HostProfile::separate_properties` only one of these.
pub(super) fn proxy_get_property<G: Guest>(
    guest: &mut G,
    state: &InstanceState,
    path: Addr,
    path_size: u64,
    data: Addr,
    size: Addr,
) -> Answer {
    let out = Out { data, size };
    let contexts = state.contexts.borrow();
    let path = PropertyPath::new(guest.read(path, path_size)?);
    let separate = state.config.host.separate_properties;
    let root = contexts.root_of(state.effective.get()).map(|(_, root)| root);
    let own = match path.as_bytes() {
        _ if separate => None,
        b"plugin_name" => root.map(|root| root.config.name.as_str()),
        b"plugin_root_id" => Some(root.map_or("", |root| &root.config.root_id)),
        b"plugin_vm_id" => Some(state.config.vm_id.as_str()),
        _ => None,
    };
    if let Some(own) = own {
        return return_bytes(guest, state, out, own.as_bytes());
    }
    if let Some(stream) = contexts.stream(state.effective.get()) {
        match stream.stream.property(path) {
            Ok(value) => return return_bytes(guest, state, out, &value),
            Err(PropertyError::NotFound) if !separate => {}
            Err(error) => return Err(error.into()),
        }
    }
    let value = state.services.properties.property(path)?;
    return_bytes(guest, state, out, &value)
}

pub(super) fn proxy_set_property<G: Guest>(
    guest: &mut G,
    state: &InstanceState,
    path: Addr,
    path_size: u64,
    value: Addr,
    value_size: u64,
) -> Answer {
    let path = PropertyPath::new(guest.read(path, path_size)?);
    let value = guest.read(value, value_size)?;
    let mut contexts = state.contexts.borrow_mut();
    let set = match contexts.stream_mut(state.effective.get()) {
        Some(stream) => stream.stream.set_property(path, value),
        None => state.services.properties.set_property(path, value),
    };
    set.map_err(Status::from)
}
