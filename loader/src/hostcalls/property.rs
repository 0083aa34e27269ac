//! Hostcalls for properties.

use dynvm_abi::types::Status;

use super::Answer;
use crate::host::{PropertyContext, PropertyError, PropertyPath};
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

pub(super) fn proxy_get_property<G: Guest>(
    guest: &mut G,
    state: &InstanceState,
    path: Addr,
    path_size: u64,
    data: Addr,
    size: Addr,
) -> Answer {
    let contexts = state.contexts.borrow();
    let path = PropertyPath::new(guest.read(path, path_size)?);
    let root = contexts.root_of(state.effective.get()).map(|(_, root)| root);
    let context = PropertyContext {
        plugin_name: root.map(|root| root.config.name.as_str()),
        root_id: root.map_or("", |root| &root.config.root_id),
        vm_id: &state.config.vm_id,
        stream: contexts.stream(state.effective.get()).map(|stream| &*stream.stream),
    };
    let value = state.services.properties.find(path, &context)?;
    return_bytes(guest, state, Out { data, size }, &value)
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
