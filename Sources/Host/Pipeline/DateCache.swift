import CLinux
import Glibc
import SluiceABI

/// The Date field's value (RFC 9110 §5.6.7), written anew at most once a second. A worker's own.
struct DateCache {
    private var second: UInt64 = .max
    private let text: UnsafeMutablePointer<UInt8> = .allocate(capacity: 32)
    private static let size = 29

    /// `monotonic` says only whether a second has passed since the last call.
    mutating func text(at monotonic: UInt64) -> sluice_bytes {
        if monotonic / 1_000_000_000 != second {
            second = monotonic / 1_000_000_000
            var now = time_t(clinux_wall_ns() / 1_000_000_000)
            var parts = tm()
            gmtime_r(&now, &parts)
            text.withMemoryRebound(to: CChar.self, capacity: 32) {
                _ = strftime($0, 32, "%a, %d %b %Y %H:%M:%S GMT", &parts)
            }
        }
        return sluice_bytes(text, Self.size)
    }
}
