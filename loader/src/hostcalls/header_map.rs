//! Hostcalls for header maps: headers, trailers and metadata of the stream, or of a delivered
//! response.
//!
//! An absent map reads as empty, because the Rust SDK panics at any status but OK from most of
//! these calls, and because Envoy's maps exist whenever a plugin may read them. A host can choose an
//! error instead ([`AbsentMap`]). Writing to an absent map always returns an error.

use dynvm_abi::types::{MapType, Status};
use dynvm_abi::version::AbiVersion;

use super::Answer;
use crate::header_pairs;
use crate::host::{AbsentMap, HeaderMap, Headers};
use crate::instance::{Addr, DeliveryKind, Guest, InstanceState, Out, return_bytes, return_with};

pub(super) fn proxy_get_header_map_size<G: Guest>(
    guest: &mut G,
    state: &InstanceState,
    map_type: u32,
    size: Addr,
) -> Answer {
    read(state, map_type, |map| guest.write_size(size, map.len() as u64))
}

pub(super) fn proxy_get_header_map_pairs<G: Guest>(
    guest: &mut G,
    state: &InstanceState,
    map_type: u32,
    data: Addr,
    size: Addr,
) -> Answer {
    read(state, map_type, |map| {
        let out = Out { data, size };
        if map.is_empty() {
            return return_bytes(guest, state, out, &[]);
        }
        return_with(guest, state, out, header_pairs::encoded_len(map), |target| header_pairs::encode_into(map, target))
    })
}

pub(super) fn proxy_set_header_map_pairs<G: Guest>(
    guest: &mut G,
    state: &InstanceState,
    map_type: u32,
    data: Addr,
    size: u64,
) -> Answer {
    write(state, map_type, |map| {
        let lines = header_pairs::decode(guest.read(data, size)?).unwrap_or_default();
        map.clear();
        for (name, value) in lines.iter() {
            map.add(name, value);
        }
        Ok(())
    })
}

pub(super) fn proxy_get_header_map_value<G: Guest>(
    guest: &mut G,
    state: &InstanceState,
    map_type: u32,
    key: Addr,
    key_size: u64,
    data: Addr,
    size: Addr,
) -> Answer {
    read(state, map_type, |map| {
        let out = Out { data, size };
        match map.get(guest.read(key, key_size)?) {
            Some(value) => return_bytes(guest, state, out, value),
            // ABI 0.1.0 has no status for an absent header.
            None if state.abi_version() == AbiVersion::V0_1_0 => return_bytes(guest, state, out, &[]),
            None => Err(Status::NotFound),
        }
    })
}

pub(super) fn proxy_add_header_map_value<G: Guest>(
    guest: &mut G,
    state: &InstanceState,
    map_type: u32,
    key: Addr,
    key_size: u64,
    value: Addr,
    value_size: u64,
) -> Answer {
    write(state, map_type, |map| {
        map.add(guest.read(key, key_size)?, guest.read(value, value_size)?);
        Ok(())
    })
}

pub(super) fn proxy_replace_header_map_value<G: Guest>(
    guest: &mut G,
    state: &InstanceState,
    map_type: u32,
    key: Addr,
    key_size: u64,
    value: Addr,
    value_size: u64,
) -> Answer {
    write(state, map_type, |map| {
        map.replace(guest.read(key, key_size)?, guest.read(value, value_size)?);
        Ok(())
    })
}

pub(super) fn proxy_remove_header_map_value<G: Guest>(
    guest: &mut G,
    state: &InstanceState,
    map_type: u32,
    key: Addr,
    key_size: u64,
) -> Answer {
    write(state, map_type, |map| {
        map.remove(guest.read(key, key_size)?);
        Ok(())
    })
}

/// Finds a map and passes it to `f`, for reading.
fn read(state: &InstanceState, map_type: u32, f: impl FnOnce(&dyn HeaderMap) -> Answer) -> Answer {
    let map_type = MapType::from_u32(map_type).ok_or(Status::BadArgument)?;
    if map_type as u32 >= MapType::GrpcReceiveInitialMetadata as u32 {
        let delivery = state.delivery.borrow();
        match (map_type, delivery.kind) {
            (MapType::HttpCallResponseHeaders, Some(DeliveryKind::HttpCall)) => return f(&delivery.http_headers),
            (MapType::HttpCallResponseTrailers, Some(DeliveryKind::HttpCall)) => return f(&delivery.http_trailers),
            (MapType::GrpcReceiveInitialMetadata, Some(DeliveryKind::GrpcInitialMetadata))
            | (MapType::GrpcReceiveTrailingMetadata, Some(DeliveryKind::GrpcTrailingMetadata)) => {
                return f(&delivery.grpc_metadata);
            }
            _ => {}
        }
    }
    let contexts = state.contexts.borrow();
    let stream = contexts.stream(state.effective.get());
    match stream.map_or(Err(state.services.absent_maps), |stream| stream.stream.header_map(map_type)) {
        Ok(map) => f(map),
        Err(AbsentMap::Empty) => f(&Headers::new()),
        Err(absent) => Err(error_status(absent)),
    }
}

/// Finds a map and passes it to `f`, for writing. Only a stream's maps are writable.
fn write(state: &InstanceState, map_type: u32, f: impl FnOnce(&mut dyn HeaderMap) -> Answer) -> Answer {
    let map_type = MapType::from_u32(map_type).ok_or(Status::BadArgument)?;
    let mut contexts = state.contexts.borrow_mut();
    let stream = contexts.stream_mut(state.effective.get());
    let map = stream.map_or(Err(state.services.absent_maps), |stream| stream.stream.header_map_mut(map_type));
    f(map.map_err(error_status)?)
}

/// The status of a hostcall that needs a map which is absent.
fn error_status(absent: AbsentMap) -> Status {
    match absent {
        AbsentMap::Empty | AbsentMap::BadArgument => Status::BadArgument,
        AbsentMap::Unimplemented => Status::Unimplemented,
    }
}
