import CLinux
import Glibc
import SluiceABI
import Synchronization

typealias AtomicCount = Atomic<Int>

extension sluice_bytes {
    static var empty: sluice_bytes { sluice_bytes(data: nil, size: 0) }

    @inline(__always)
    init(_ data: UnsafePointer<UInt8>, _ size: Int) { self.init(data: data, size: size) }

    /// A view of a literal: valid for ever.
    @inline(__always)
    init(_ literal: StaticString) { self.init(data: literal.utf8Start, size: literal.utf8CodeUnitCount) }

    var isEmpty: Bool { size == 0 }

    /// As a method: those are told apart by case (RFC 9110 §9.1).
    var isHEAD: Bool { self == sluice_bytes("HEAD") }

    /// Off the hot path: a copy as text, broken UTF-8 repaired.
    var text: String { String(decoding: UnsafeBufferPointer(start: data, count: size), as: UTF8.self) }

    @inline(__always)
    static func == (left: sluice_bytes, right: sluice_bytes) -> Bool {
        guard left.size == right.size else { return false }
        guard left.size > 0, let first = left.data, let second = right.data else { return true }
        return memcmp(first, second, left.size) == 0
    }

    /// Without regard to ASCII case.
    func equalsIgnoringCase(_ other: sluice_bytes) -> Bool {
        guard size == other.size else { return false }
        guard size > 0, let first = data, let second = other.data else { return true }
        for index in 0..<size where lowercase(first[index]) != lowercase(second[index]) { return false }
        return true
    }
}

@inline(__always)
func lowercase(_ byte: UInt8) -> UInt8 { byte &- 65 < 26 ? byte | 0x20 : byte }
