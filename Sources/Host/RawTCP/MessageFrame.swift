import HTTP1
import SluiceABI

/// Where the first message in some bytes of raw TCP ends, as an adapter's `frame` tells.
enum MessageFrame {
    case size(Int)
    case needMore
    /// A message, but a larger one than may be.
    case tooLarge
    /// No message: of what follows nobody can say where it begins.
    case malformed
}

extension Worker {
    /// Asks the adapter. Its reason for an error is in `failure` afterwards.
    ///
    /// A message has to tell its size within `header_bytes`, as a head of HTTP has to end there: until it does the
    /// bytes are looked at again with each that comes.
    func frame(
        _ adapter: UnsafeMutablePointer<AdapterLink>, _ input: Buffer, _ limits: RequestLimits
    ) -> MessageFrame {
        guard let hook = adapter.pointee.table.pointee.frame else { return .malformed }
        failureSize = 0
        var size = 0
        switch hook(adapter.pointee.instance, sluice_bytes(input.head.asImmutable, input.count), &size) {
        case SLUICE_OK where size > 0: return size <= limits.bodyBytes ? .size(size) : .tooLarge
        case SLUICE_NEED_BODY: return input.count < limits.headerBytes ? .needMore : .malformed
        default: return .malformed
        }
    }
}
