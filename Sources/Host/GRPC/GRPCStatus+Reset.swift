import CNGHTTP2
import SluiceABI

extension GRPCStatus {
    /// The status of a call that ended with RST_STREAM (grpc/doc/PROTOCOL-HTTP2.md, "Errors"). A code that is not
    /// known is taken for INTERNAL_ERROR, as RFC 9113 §7 allows.
    static func status(ofReset code: UInt32) -> sluice_status {
        switch code {
        case NGHTTP2_REFUSED_STREAM.rawValue: SLUICE_UNAVAILABLE
        case NGHTTP2_CANCEL.rawValue: SLUICE_CANCELLED
        case NGHTTP2_ENHANCE_YOUR_CALM.rawValue: SLUICE_RESOURCE_EXHAUSTED
        case NGHTTP2_INADEQUATE_SECURITY.rawValue: SLUICE_PERMISSION_DENIED
        default: SLUICE_INTERNAL
        }
    }
}
