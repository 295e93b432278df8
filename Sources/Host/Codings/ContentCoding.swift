import CZlib
import HTTP1
import SluiceABI

/// A coding of a body (RFC 9110 §8.4.1) or of a message of gRPC (grpc/doc/compression.md) that can be undone here.
enum ContentCoding {
    case gzip
    /// DEFLATE in the frame of zlib (RFC 1950), as both specifications say; the bare form is refused.
    case deflate

    /// What a client may use, as the fields `Accept-Encoding` and `grpc-accept-encoding` say it.
    static let names: StaticString = "gzip, deflate"
    static let namesOfMessages: StaticString = "identity,deflate,gzip"

    /// By its name in `Content-Encoding`, in any case; nil for others, and for lists of several.
    init?(content name: sluice_bytes) {
        if name.equalsIgnoringCase(sluice_bytes("gzip")) || name.equalsIgnoringCase(sluice_bytes("x-gzip")) {
            self = .gzip
        } else if name.equalsIgnoringCase(sluice_bytes("deflate")) {
            self = .deflate
        } else {
            return nil
        }
    }

    /// By its name in `grpc-encoding`.
    init?(message name: sluice_bytes) {
        if name == sluice_bytes("gzip") {
            self = .gzip
        } else if name == sluice_bytes("deflate") {
            self = .deflate
        } else {
            return nil
        }
    }

    /// zlib's word for the frame: the largest window, which every stream may use, and 16 for gzip's frame.
    var windowBits: Int32 {
        switch self {
        case .gzip: MAX_WBITS + 16
        case .deflate: MAX_WBITS
        }
    }
}
