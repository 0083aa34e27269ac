//! The C structures of the ABI, and its numbers.

/// Bytes that Envoy owns.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct EnvoyBuffer {
    pub(super) data: *const u8,
    pub(super) length: usize,
}

impl EnvoyBuffer {
    pub(super) const EMPTY: EnvoyBuffer = EnvoyBuffer { data: std::ptr::null(), length: 0 };

    /// The bytes.
    ///
    /// # Safety
    ///
    /// Envoy has filled the structure, and keeps the bytes for `'a`.
    pub(super) unsafe fn bytes<'a>(self) -> &'a [u8] {
        if self.data.is_null() || self.length == 0 {
            return &[];
        }
        // SAFETY: by the caller's promise.
        unsafe { std::slice::from_raw_parts(self.data, self.length) }
    }
}

/// Bytes that the module owns.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct ModuleBuffer {
    data: *const u8,
    length: usize,
}

impl ModuleBuffer {
    pub(super) const NULL: ModuleBuffer = ModuleBuffer { data: std::ptr::null(), length: 0 };

    pub(super) fn new(bytes: &[u8]) -> ModuleBuffer {
        ModuleBuffer { data: bytes.as_ptr(), length: bytes.len() }
    }
}

/// A header line that Envoy owns.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct EnvoyHeader {
    pub(super) name: EnvoyBuffer,
    pub(super) value: EnvoyBuffer,
}

impl EnvoyHeader {
    pub(super) const EMPTY: EnvoyHeader = EnvoyHeader { name: EnvoyBuffer::EMPTY, value: EnvoyBuffer::EMPTY };
}

/// A header line that the module owns.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct ModuleHeader {
    name: ModuleBuffer,
    value: ModuleBuffer,
}

impl ModuleHeader {
    /// The lines as Envoy takes them. They refer to the map, which must outlive their use.
    pub(super) fn lines(headers: &dynvm::host::Headers) -> Vec<ModuleHeader> {
        let line = |(name, value)| ModuleHeader { name: ModuleBuffer::new(name), value: ModuleBuffer::new(value) };
        headers.iter().map(line).collect()
    }
}

/// Result of starting a call.
pub(super) mod call_start {
    pub(in super::super) const SUCCESS: i32 = 0;
    pub(in super::super) const MISSING_HEADERS: i32 = 1;
    pub(in super::super) const CLUSTER_NOT_FOUND: i32 = 2;
}

macro_rules! attributes {
    ($($name:ident = $path:literal,)*) => {
        /// An attribute of a stream, by Envoy's number.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(i32)]
        pub enum AttributeId { $($name,)* }

        impl AttributeId {
            /// The attribute of a path with dots.
            pub fn of(path: &[u8]) -> Option<AttributeId> {
                Some(match path {
                    $($path => AttributeId::$name,)*
                    _ => return None,
                })
            }
        }
    };
}

attributes! {
    RequestPath = b"request.path",
    RequestUrlPath = b"request.url_path",
    RequestHost = b"request.host",
    RequestScheme = b"request.scheme",
    RequestMethod = b"request.method",
    RequestHeaders = b"request.headers",
    RequestReferer = b"request.referer",
    RequestUserAgent = b"request.useragent",
    RequestTime = b"request.time",
    RequestId = b"request.id",
    RequestProtocol = b"request.protocol",
    RequestQuery = b"request.query",
    RequestDuration = b"request.duration",
    RequestSize = b"request.size",
    RequestTotalSize = b"request.total_size",
    ResponseCode = b"response.code",
    ResponseCodeDetails = b"response.code_details",
    ResponseFlags = b"response.flags",
    ResponseGrpcStatus = b"response.grpc_status",
    ResponseHeaders = b"response.headers",
    ResponseTrailers = b"response.trailers",
    ResponseSize = b"response.size",
    ResponseTotalSize = b"response.total_size",
    ResponseBackendLatency = b"response.backend_latency",
    SourceAddress = b"source.address",
    SourcePort = b"source.port",
    DestinationAddress = b"destination.address",
    DestinationPort = b"destination.port",
    ConnectionId = b"connection.id",
    ConnectionMtls = b"connection.mtls",
    ConnectionRequestedServerName = b"connection.requested_server_name",
    ConnectionTlsVersion = b"connection.tls_version",
    ConnectionSubjectLocalCertificate = b"connection.subject_local_certificate",
    ConnectionSubjectPeerCertificate = b"connection.subject_peer_certificate",
    ConnectionDnsSanLocalCertificate = b"connection.dns_san_local_certificate",
    ConnectionDnsSanPeerCertificate = b"connection.dns_san_peer_certificate",
    ConnectionUriSanLocalCertificate = b"connection.uri_san_local_certificate",
    ConnectionUriSanPeerCertificate = b"connection.uri_san_peer_certificate",
    ConnectionSha256PeerCertificateDigest = b"connection.sha256_peer_certificate_digest",
    ConnectionTransportFailureReason = b"connection.transport_failure_reason",
    ConnectionTerminationDetails = b"connection.termination_details",
    UpstreamAddress = b"upstream.address",
    UpstreamPort = b"upstream.port",
    UpstreamTlsVersion = b"upstream.tls_version",
    UpstreamSubjectLocalCertificate = b"upstream.subject_local_certificate",
    UpstreamSubjectPeerCertificate = b"upstream.subject_peer_certificate",
    UpstreamDnsSanLocalCertificate = b"upstream.dns_san_local_certificate",
    UpstreamDnsSanPeerCertificate = b"upstream.dns_san_peer_certificate",
    UpstreamUriSanLocalCertificate = b"upstream.uri_san_local_certificate",
    UpstreamUriSanPeerCertificate = b"upstream.uri_san_peer_certificate",
    UpstreamSha256PeerCertificateDigest = b"upstream.sha256_peer_certificate_digest",
    UpstreamLocalAddress = b"upstream.local_address",
    UpstreamTransportFailureReason = b"upstream.transport_failure_reason",
    UpstreamRequestAttemptCount = b"upstream.request_attempt_count",
    UpstreamCxPoolReadyDuration = b"upstream.cx_pool_ready_duration",
    UpstreamLocality = b"upstream.locality",
    XdsNode = b"xds.node",
    XdsClusterName = b"xds.cluster_name",
    XdsClusterMetadata = b"xds.cluster_metadata",
    XdsListenerDirection = b"xds.listener_direction",
    XdsListenerMetadata = b"xds.listener_metadata",
    XdsRouteName = b"xds.route_name",
    XdsRouteMetadata = b"xds.route_metadata",
    XdsVirtualHostName = b"xds.virtual_host_name",
    XdsVirtualHostMetadata = b"xds.virtual_host_metadata",
    XdsUpstreamHostMetadata = b"xds.upstream_host_metadata",
    XdsFilterChainName = b"xds.filter_chain_name",
    HealthCheck = b"health_check",
}
