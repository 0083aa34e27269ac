//! Header maps: headers, trailers and metadata of the stream or of what a call delivered.
//!
//! A map that is not there reads as empty: the Rust SDK panics on anything but OK from most of these calls, and Envoy's maps are there
//! whenever a plugin may look. A host may say otherwise ([`HostProfile`](crate::HostProfile)). Writing to one that is not there is
//! `BadArgument`.

use dynvm_abi::types::{MapType, Status};
use dynvm_abi::version::AbiVersion;

use super::Answer;
use crate::codec::pairs;
use crate::host::{HeaderMap, Headers};
use crate::vm::{Addr, DeliveryKind, Guest, Out, VmCell, return_bytes, return_with};

pub(super) fn proxy_get_header_map_size<G: Guest>(guest: &mut G, cell: &VmCell, map_type: u32, size: Addr) -> Answer {
    read(cell, map_type, |map| guest.write_size(size, map.len() as u64))
}

pub(super) fn proxy_get_header_map_pairs<G: Guest>(
    guest: &mut G,
    cell: &VmCell,
    map_type: u32,
    data: Addr,
    size: Addr,
) -> Answer {
    read(cell, map_type, |map| {
        let out = Out { data, size };
        if map.is_empty() {
            return return_bytes(guest, cell, out, &[]);
        }
        return_with(guest, cell, out, pairs::encoded_len(map), |target| pairs::encode_into(map, target))
    })
}

pub(super) fn proxy_set_header_map_pairs<G: Guest>(
    guest: &mut G,
    cell: &VmCell,
    map_type: u32,
    data: Addr,
    size: u64,
) -> Answer {
    write(cell, map_type, |map| {
        let lines = pairs::decode(guest.read(data, size)?).unwrap_or_default();
        map.clear();
        for (name, value) in lines.iter() {
            map.add(name, value);
        }
        Ok(())
    })
}

pub(super) fn proxy_get_header_map_value<G: Guest>(
    guest: &mut G,
    cell: &VmCell,
    map_type: u32,
    key: Addr,
    key_size: u64,
    data: Addr,
    size: Addr,
) -> Answer {
    read(cell, map_type, |map| {
        let out = Out { data, size };
        match map.get(guest.read(key, key_size)?) {
            Some(value) => return_bytes(guest, cell, out, value),
            // 0.1.0 has no status for an absent header.
            None if cell.abi_version() == AbiVersion::V0_1_0 => return_bytes(guest, cell, out, &[]),
            None => Err(Status::NotFound),
        }
    })
}

pub(super) fn proxy_add_header_map_value<G: Guest>(
    guest: &mut G,
    cell: &VmCell,
    map_type: u32,
    key: Addr,
    key_size: u64,
    value: Addr,
    value_size: u64,
) -> Answer {
    write(cell, map_type, |map| {
        map.add(guest.read(key, key_size)?, guest.read(value, value_size)?);
        Ok(())
    })
}

pub(super) fn proxy_replace_header_map_value<G: Guest>(
    guest: &mut G,
    cell: &VmCell,
    map_type: u32,
    key: Addr,
    key_size: u64,
    value: Addr,
    value_size: u64,
) -> Answer {
    write(cell, map_type, |map| {
        map.replace(guest.read(key, key_size)?, guest.read(value, value_size)?);
        Ok(())
    })
}

pub(super) fn proxy_remove_header_map_value<G: Guest>(
    guest: &mut G,
    cell: &VmCell,
    map_type: u32,
    key: Addr,
    key_size: u64,
) -> Answer {
    write(cell, map_type, |map| {
        map.remove(guest.read(key, key_size)?);
        Ok(())
    })
}

/// Finds a map to read.
fn read(cell: &VmCell, map_type: u32, f: impl FnOnce(&dyn HeaderMap) -> Answer) -> Answer {
    let map_type = MapType::from_u32(map_type).ok_or(Status::BadArgument)?;
    if is_delivered(map_type) {
        let delivery = cell.delivery.borrow();
        return match (map_type, delivery.kind) {
            (MapType::HttpCallResponseHeaders, Some(DeliveryKind::HttpCall)) => f(&delivery.http_headers),
            (MapType::HttpCallResponseTrailers, Some(DeliveryKind::HttpCall)) => f(&delivery.http_trailers),
            (MapType::GrpcReceiveInitialMetadata, Some(DeliveryKind::GrpcInitialMetadata))
            | (MapType::GrpcReceiveTrailingMetadata, Some(DeliveryKind::GrpcTrailingMetadata)) => {
                f(&delivery.grpc_metadata)
            }
            _ => absent(cell).and_then(|none| f(&none)),
        };
    }
    let contexts = cell.contexts.borrow();
    match contexts.stream(cell.effective.get()).and_then(|stream| stream.stream.header_map(map_type)) {
        Some(map) => f(map),
        None => absent(cell).and_then(|none| f(&none)),
    }
}

/// What is read where there is no map.
fn absent(cell: &VmCell) -> Result<Headers, Status> {
    if !cell.config.host.strict_header_maps {
        return Ok(Headers::new());
    }
    let is_stream = cell.contexts.borrow().stream(cell.effective.get()).is_some();
    Err(if is_stream { Status::BadArgument } else { Status::Unimplemented })
}

/// Finds a map to change: only those of a stream can be.
fn write(cell: &VmCell, map_type: u32, f: impl FnOnce(&mut dyn HeaderMap) -> Answer) -> Answer {
    let map_type = MapType::from_u32(map_type).ok_or(Status::BadArgument)?;
    let mut contexts = cell.contexts.borrow_mut();
    let Some(stream) = contexts.stream_mut(cell.effective.get()) else {
        return Err(if cell.config.host.strict_header_maps { Status::Unimplemented } else { Status::BadArgument });
    };
    f(stream.stream.header_map_mut(map_type).ok_or(Status::BadArgument)?)
}

fn is_delivered(map_type: MapType) -> bool {
    map_type as u32 >= MapType::GrpcReceiveInitialMetadata as u32
}
