//! Properties of a stream, and those that the operator configured.

use std::borrow::Cow;
use std::collections::HashMap;

use dynvm::header_pairs;
use dynvm::host::{HeaderMap as _, Headers, Properties, PropertyError, PropertyPath};

use crate::abi::AttributeId;
use crate::abi::http_filter::{HeaderKind, HttpFilter, MetadataSource};

/// Properties from the configuration, by path with dots: Envoy's modules cannot read those of its node.
pub struct ConfiguredProperties(HashMap<String, Vec<u8>>);

impl ConfiguredProperties {
    /// The properties of a filter's configuration.
    pub fn new(properties: &[(String, Vec<u8>)]) -> ConfiguredProperties {
        ConfiguredProperties(properties.iter().cloned().collect())
    }
}

impl Properties for ConfiguredProperties {
    fn property(&self, path: PropertyPath<'_>) -> Result<Cow<'_, [u8]>, PropertyError> {
        let value = self.0.get(&path.dotted()).ok_or(PropertyError::NotFound)?;
        Ok(Cow::Borrowed(value))
    }
}

/// A property of an HTTP stream, in the ABI's encoding.
pub fn of_stream<'a>(filter: &'a HttpFilter, path: PropertyPath<'_>) -> Option<Cow<'a, [u8]>> {
    let segments: Vec<&[u8]> = path.segments().collect();
    match segments[..] {
        [b"request", b"headers", ref name @ ..] => headers(filter, HeaderKind::RequestHeaders, name),
        [b"response", b"headers", ref name @ ..] => headers(filter, HeaderKind::ResponseHeaders, name),
        [b"response", b"trailers", ref name @ ..] => headers(filter, HeaderKind::ResponseTrailers, name),
        [b"metadata", b"filter_metadata", namespace, key] => metadata(filter, MetadataSource::Dynamic, namespace, key),
        [source, b"filter_metadata", namespace, key] | [b"xds", source, b"filter_metadata", namespace, key] => {
            metadata(filter, metadata_source(source)?, namespace, key)
        }
        [b"filter_state", key] => filter.filter_state(key).map(Cow::Borrowed),
        [b"cluster_name"] | [b"xds", b"cluster_name"] => {
            let name = attribute(filter, AttributeId::XdsClusterName);
            name.or_else(|| filter.cluster_name().map(Cow::Borrowed))
        }
        [b"route_name"] => attribute(filter, AttributeId::XdsRouteName),
        [b"listener_direction"] => attribute(filter, AttributeId::XdsListenerDirection),
        [b"connection_id"] => attribute(filter, AttributeId::ConnectionId),
        _ => attribute(filter, AttributeId::of(&segments.join(&b'.'))?),
    }
}

fn headers<'a>(filter: &'a HttpFilter, kind: HeaderKind, name: &[&[u8]]) -> Option<Cow<'a, [u8]>> {
    match name {
        [name] => filter.header(kind, name).map(Cow::Borrowed),
        [] if filter.header_count(kind) > 0 => {
            let mut all = Headers::new();
            filter.for_each_header(kind, &mut |name, value| all.add(name, value));
            Some(Cow::Owned(header_pairs::encode(&all)))
        }
        _ => None,
    }
}

fn metadata_source(name: &[u8]) -> Option<MetadataSource> {
    Some(match name {
        b"route_metadata" => MetadataSource::Route,
        b"cluster_metadata" => MetadataSource::Cluster,
        b"upstream_host_metadata" => MetadataSource::Host,
        _ => return None,
    })
}

fn metadata<'a>(filter: &'a HttpFilter, source: MetadataSource, space: &[u8], key: &[u8]) -> Option<Cow<'a, [u8]>> {
    let string = || filter.metadata_string(source, space, key).map(Cow::Borrowed);
    let number = || filter.metadata_number(source, space, key).map(|value| Cow::Owned(value.to_le_bytes().to_vec()));
    string().or_else(number).or_else(|| filter.metadata_bool(source, space, key).map(bool))
}

fn attribute(filter: &HttpFilter, id: AttributeId) -> Option<Cow<'_, [u8]>> {
    match kind_of(id) {
        Kind::Number => filter.attribute_int(id).map(number),
        // Envoy does not tell it of connections without TLS.
        Kind::Bool if id == AttributeId::ConnectionMtls => Some(bool(filter.attribute_bool(id).unwrap_or_default())),
        Kind::Bool => filter.attribute_bool(id).map(bool),
        Kind::Text => filter.attribute_string(id).map(Cow::Borrowed),
    }
}

/// The type of an attribute.
pub enum Kind {
    /// 8 bytes.
    Number,
    /// One byte.
    Bool,
    /// The text itself.
    Text,
}

/// The type of an attribute.
pub fn kind_of(id: AttributeId) -> Kind {
    use AttributeId::*;
    match id {
        RequestSize
        | RequestTotalSize
        | ResponseCode
        | ResponseFlags
        | ResponseGrpcStatus
        | ResponseSize
        | ResponseTotalSize
        | SourcePort
        | DestinationPort
        | ConnectionId
        | UpstreamPort
        | UpstreamRequestAttemptCount
        | XdsListenerDirection => Kind::Number,
        ConnectionMtls | HealthCheck => Kind::Bool,
        _ => Kind::Text,
    }
}

/// A number in the ABI's encoding.
pub fn number(value: u64) -> Cow<'static, [u8]> {
    Cow::Owned(value.to_le_bytes().to_vec())
}

/// A boolean in the ABI's encoding.
pub fn bool(value: bool) -> Cow<'static, [u8]> {
    Cow::Owned(vec![value.into()])
}
