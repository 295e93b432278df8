/// A label whose values are known when the host is built: one cell for each.
protocol MetricLabel: RawRepresentable, CaseIterable, Sendable where RawValue == Int {
    /// How many values there are. A literal, and not `allCases.count`, since offsets on the hot path are made of it.
    static var count: Int { get }
    /// The value as the text format shows it.
    var label: String { get }
}

/// Which end of the gateway a connection or a byte belongs to.
enum ConnectionSide: Int, MetricLabel {
    static let count = 2
    case client, upstream
    var label: String { self == .client ? "client" : "upstream" }
}

/// What is wrong with a message that was rejected by a parser.
enum ParseErrorKind: Int, MetricLabel {
    static let count = 10
    case startLine, field, fieldTooLarge, host, framing, chunk, version, body, tls, other
    var label: String {
        switch self {
        case .startLine: "start_line"
        case .field: "field"
        case .fieldTooLarge: "field_too_large"
        case .host: "host"
        case .framing: "framing"
        case .chunk: "chunk"
        case .version: "version"
        case .body: "body"
        case .tls: "tls"
        case .other: "other"
        }
    }
}

/// How a handshake of TLS went.
enum HandshakeKind: Int, MetricLabel {
    static let count = 2
    /// With certificates and keys, or by what the peer kept of an earlier connection.
    case full, resumed
    var label: String { "\(self)" }
}

/// Which limit in time was reached.
enum TimeoutKind: Int, MetricLabel {
    static let count = 8
    /// `attempt` is the time of one attempt of several, `response` that which the configuration allows, `deadline` what
    /// the client said itself.
    case header, body, idle, connect, response, deadline, queue, attempt
    var label: String { "\(self)" }
}

/// Why the gateway itself said no.
enum RejectReason: Int, MetricLabel {
    static let count = 12
    case maxConnections, queueFull, queueDropped, unknownModel, noEndpoint, bodyTooLarge, filter, memory, flood
    case breakerOpen, shed, other
    var label: String {
        switch self {
        case .maxConnections: "max_connections"
        case .queueFull: "queue_full"
        case .queueDropped: "queue_dropped"
        case .unknownModel: "unknown_model"
        case .noEndpoint: "no_endpoint"
        case .bodyTooLarge: "body_too_large"
        case .filter: "filter"
        case .memory: "memory"
        case .flood: "flood"
        case .breakerOpen: "breaker_open"
        case .shed: "shed"
        case .other: "other"
        }
    }
}

/// How one try of an exchange on one endpoint ended.
enum AttemptOutcome: Int, MetricLabel {
    static let count = 8
    /// An answer below 500.
    case success
    /// An answer of 500 or above.
    case serverError
    case connectFailed, timeout
    /// The connection ended before the answer was complete.
    case reset
    /// The answer was no message of the protocol.
    case badResponse
    /// It ended for a reason that is not the endpoint's, as when the client has left.
    case cancelled
    /// A kept-alive connection turned out to be closed before a byte of the answer came; the request was sent again.
    case stale
    var label: String {
        switch self {
        case .success: "success"
        case .serverError: "server_error"
        case .connectFailed: "connect_failed"
        case .timeout: "timeout"
        case .reset: "reset"
        case .badResponse: "bad_response"
        case .cancelled: "cancelled"
        case .stale: "stale"
        }
    }
}

/// The size classes of the buffer pools.
enum BufferClass: Int, MetricLabel {
    static let count = 4
    case small, medium, large, mapped
    var label: String {
        switch self {
        case .small: "4096"
        case .medium: "65536"
        case .large: "1048576"
        case .mapped: "mapped"
        }
    }
}

/// How a reload ended.
enum ReloadResult: Int, MetricLabel {
    static let count = 2
    case succeeded, refused
    var label: String { "\(self)" }
}
