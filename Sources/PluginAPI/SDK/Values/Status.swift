import SluiceABI

/// The canonical error codes of gRPC, in which a plugin says why it failed; adapters map them to their protocols.
@frozen
public struct ErrorCode: Equatable, Sendable {
    public let status: sluice_status

    @inlinable @inline(__always)
    public init(status: sluice_status) { self.status = status }

    @inlinable public static var cancelled: ErrorCode { ErrorCode(status: -1) }
    @inlinable public static var unknown: ErrorCode { ErrorCode(status: -2) }
    @inlinable public static var invalidArgument: ErrorCode { ErrorCode(status: -3) }
    @inlinable public static var deadlineExceeded: ErrorCode { ErrorCode(status: -4) }
    @inlinable public static var notFound: ErrorCode { ErrorCode(status: -5) }
    @inlinable public static var alreadyExists: ErrorCode { ErrorCode(status: -6) }
    @inlinable public static var permissionDenied: ErrorCode { ErrorCode(status: -7) }
    @inlinable public static var resourceExhausted: ErrorCode { ErrorCode(status: -8) }
    @inlinable public static var failedPrecondition: ErrorCode { ErrorCode(status: -9) }
    @inlinable public static var aborted: ErrorCode { ErrorCode(status: -10) }
    @inlinable public static var outOfRange: ErrorCode { ErrorCode(status: -11) }
    @inlinable public static var unimplemented: ErrorCode { ErrorCode(status: -12) }
    @inlinable public static var `internal`: ErrorCode { ErrorCode(status: -13) }
    @inlinable public static var unavailable: ErrorCode { ErrorCode(status: -14) }
    @inlinable public static var dataLoss: ErrorCode { ErrorCode(status: -15) }
    @inlinable public static var unauthenticated: ErrorCode { ErrorCode(status: -16) }
}

/// Why a plugin failed. Three words that are copied, never allocated: `message` is a literal or lies in the exchange's
/// arena (`Exchange.text`), and the SDK hands it to the host before the call returns.
@frozen
public struct PluginError: Error, Sendable {
    public let code: ErrorCode
    public let message: Bytes

    @inlinable @inline(__always)
    public init(_ code: ErrorCode, _ message: StaticString) {
        self.code = code
        self.message = Bytes(message)
    }

    /// `message` must live until the call that throws this has returned: in the exchange's arena or in what it received.
    @inlinable @inline(__always)
    public init(_ code: ErrorCode, _ message: Bytes) {
        self.code = code
        self.message = message
    }

    /// The host's status of a service call, when it is an error.
    @inlinable @inline(__always)
    static func check(_ status: sluice_status, _ message: StaticString) throws(PluginError) {
        if status < 0 { throw PluginError(ErrorCode(status: status), message) }
    }
}
