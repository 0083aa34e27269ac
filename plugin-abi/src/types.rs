//! The enums of the ABI. The numbers are the ABI's; conversions from a number fail on undefined values.

macro_rules! abi_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $value:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u32)]
        #[non_exhaustive]
        pub enum $name { $($(#[$vdoc])* $variant = $value),* }

        impl $name {
            /// All values, in the order of their numbers.
            pub const ALL: &'static [$name] = &[$($name::$variant),*];

            /// The name of the variant.
            pub const fn name(self) -> &'static str {
                match self { $($name::$variant => stringify!($variant)),* }
            }

            /// The value of a number, if the ABI defines it.
            pub const fn from_u32(value: u32) -> Option<$name> {
                match value { $($value => Some($name::$variant),)* _ => None }
            }
        }
    };
}

abi_enum! {
    /// The result of a hostcall (`proxy_status_t`).
    Status {
        /// Done.
        Ok = 0,
        /// The requested item does not exist.
        NotFound = 1,
        /// An argument is not valid for this call.
        BadArgument = 2,
        /// A value cannot be serialized.
        SerializationFailure = 3,
        /// A value cannot be parsed.
        ParseFailure = 4,
        /// An expression cannot be evaluated.
        BadExpression = 5,
        /// An address lies outside the plugin's memory.
        InvalidMemoryAccess = 6,
        /// A queue has no element.
        Empty = 7,
        /// The value changed since it was read.
        CasMismatch = 8,
        /// The result differs from what was expected.
        ResultMismatch = 9,
        /// The host failed.
        InternalFailure = 10,
        /// The connection is broken.
        BrokenConnection = 11,
        /// The host does not have this function.
        Unimplemented = 12,
    }
}

abi_enum! {
    /// Severity of a log message (`proxy_log_level_t`).
    LogLevel {
        /// Most detailed.
        Trace = 0,
        /// For debugging.
        Debug = 1,
        /// Normal.
        Info = 2,
        /// A possible problem.
        Warn = 3,
        /// Something failed.
        Error = 4,
        /// The plugin cannot continue.
        Critical = 5,
    }
}

abi_enum! {
    /// The buffer that a call acts on (`proxy_buffer_type_t`).
    BufferType {
        /// Body of the HTTP request.
        HttpRequestBody = 0,
        /// Body of the HTTP response.
        HttpResponseBody = 1,
        /// Bytes from the downstream connection.
        DownstreamData = 2,
        /// Bytes from the upstream connection.
        UpstreamData = 3,
        /// Body of the response to an HTTP call, in its callback.
        HttpCallResponseBody = 4,
        /// Message of a gRPC call, in its callback.
        GrpcReceiveBuffer = 5,
        /// The VM's configuration.
        VmConfiguration = 6,
        /// The plugin's configuration.
        PluginConfiguration = 7,
        /// Arguments of `proxy_on_foreign_function`, in that callback.
        CallData = 8,
    }
}

abi_enum! {
    /// The header map that a call acts on (`proxy_map_type_t`).
    MapType {
        /// Headers of the HTTP request.
        HttpRequestHeaders = 0,
        /// Trailers of the HTTP request.
        HttpRequestTrailers = 1,
        /// Headers of the HTTP response.
        HttpResponseHeaders = 2,
        /// Trailers of the HTTP response.
        HttpResponseTrailers = 3,
        /// Initial metadata of a gRPC call, in its callback.
        GrpcReceiveInitialMetadata = 4,
        /// Trailing metadata of a gRPC call, in its callback.
        GrpcReceiveTrailingMetadata = 5,
        /// Headers of the response to an HTTP call, in its callback.
        HttpCallResponseHeaders = 6,
        /// Trailers of the response to an HTTP call, in its callback.
        HttpCallResponseTrailers = 7,
    }
}

abi_enum! {
    /// The direction of a stream that a call acts on (`proxy_stream_type_t`).
    StreamType {
        /// The HTTP request.
        HttpRequest = 0,
        /// The HTTP response.
        HttpResponse = 1,
        /// The downstream connection.
        Downstream = 2,
        /// The upstream connection.
        Upstream = 3,
    }
}

abi_enum! {
    /// Who closed a connection (`proxy_peer_type_t`).
    PeerType {
        /// Unknown.
        Unknown = 0,
        /// This side.
        Local = 1,
        /// The other side.
        Remote = 2,
    }
}

abi_enum! {
    /// Kind of a metric (`proxy_metric_type_t`).
    MetricType {
        /// Only grows.
        Counter = 0,
        /// Goes up and down.
        Gauge = 1,
        /// Distribution of samples.
        Histogram = 2,
    }
}

abi_enum! {
    /// Results of a headers callback; the SDKs return only `Continue` and `StopIteration`.
    FilterHeadersStatus {
        /// Continue to the next filter.
        Continue = 0,
        /// Stop here; the body still arrives.
        StopIteration = 1,
        /// Continue, and end the stream after the headers.
        ContinueAndEndStream = 2,
        /// Stop the whole stream and buffer further data, up to the limit.
        StopAllIterationAndBuffer = 3,
        /// Stop the whole stream and push back at the watermark.
        StopAllIterationAndWatermark = 4,
    }
}

abi_enum! {
    /// Results of a body callback.
    FilterDataStatus {
        /// Continue with the buffered data and this chunk.
        Continue = 0,
        /// Stop and keep the chunk, up to the limit.
        StopIterationAndBuffer = 1,
        /// Stop, keep the chunk, and push back at the watermark.
        StopIterationAndWatermark = 2,
        /// Stop and drop the chunk.
        StopIterationNoBuffer = 3,
    }
}

abi_enum! {
    /// Results of a trailers callback.
    FilterTrailersStatus {
        /// Continue to the next filter.
        Continue = 0,
        /// Stop here.
        StopIteration = 1,
    }
}

abi_enum! {
    /// Results of a network callback.
    FilterStatus {
        /// Continue to the next filter.
        Continue = 0,
        /// Stop here.
        StopIteration = 1,
    }
}
