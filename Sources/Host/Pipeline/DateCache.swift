import CLinux
import Glibc
import SluiceABI

/// The Date field (RFC 9110 §6.6.1), written anew at most once a second. A worker's own.
struct DateCache {
    /// Until when the field is right, by the monotonic clock in nanoseconds.
    private var end: UInt64 = 0
    /// `Date: Sun, 06 Nov 1994 08:49:37 GMT`, the end of the line and a zero.
    private let field: UnsafeMutablePointer<UInt8> = .allocate(capacity: Self.size + 1)
    private static let size = 37
    /// The value in it, of the fixed length that RFC 9110 §5.6.7 demands.
    private static let value = 6..<35

    /// The field as a line of HTTP/1.1. `monotonic` says only whether the second that it tells is over.
    @inline(__always)
    mutating func line(at monotonic: UInt64) -> sluice_bytes {
        if monotonic >= end { write(at: monotonic, wall: clinux_wall_ns()) }
        return sluice_bytes(field, Self.size)
    }

    /// The field's value.
    mutating func text(at monotonic: UInt64) -> sluice_bytes {
        let line = line(at: monotonic)
        return sluice_bytes(data: line.data.map { $0 + Self.value.lowerBound }, size: Self.value.count)
    }

    /// Both clocks in nanoseconds. The second that ends is the wall clock's, which begins at any time of the other's:
    /// workers would tell different times for a part of each second otherwise, and what follows could be the earlier.
    @inline(never)
    mutating func write(at monotonic: UInt64, wall: UInt64) {
        end = monotonic &+ 1_000_000_000 &- wall % 1_000_000_000
        var now = time_t(wall / 1_000_000_000)
        var parts = tm()
        gmtime_r(&now, &parts)
        field.withMemoryRebound(to: CChar.self, capacity: Self.size + 1) {
            _ = strftime($0, Self.size + 1, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &parts)
        }
    }
}
