import CLinux
import Glibc
import SluiceABI

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

    /// The begin of a text of UTF-8, not cut inside a character: half of one would make all of it unreadable to whoever
    /// checks (RFC 3629 §3). Empty where there is no data, whatever the size says.
    func cut(atMost bound: Int) -> sluice_bytes {
        guard let data else { return .empty }
        guard size > bound else { return self }
        // A character is four bytes at most: what goes on for longer is no UTF-8, and cut where it happens to be.
        for end in stride(from: bound, through: max(0, bound - 3), by: -1) where data[end] & 0xC0 != 0x80 {
            return sluice_bytes(data, end)
        }
        return sluice_bytes(data, bound)
    }

    /// Off the hot path: a copy as text, broken UTF-8 repaired; and one as it is.
    var text: String { String(decoding: UnsafeBufferPointer(start: data, count: size), as: UTF8.self) }
    var array: [UInt8] { Array(UnsafeBufferPointer(start: data, count: size)) }

    @inline(__always)
    static func == (left: sluice_bytes, right: sluice_bytes) -> Bool {
        guard left.size == right.size else { return false }
        guard left.size > 0, let first = left.data, let second = right.data else { return true }
        // Most that differ do at once, most versions have one byte, and a name is often found by itself.
        guard first[0] == second[0] else { return false }
        return left.size == 1 || first == second || sameBytes(first, second, left.size)
    }

    /// Without regard to ASCII case.
    func equalsIgnoringCase(_ other: sluice_bytes) -> Bool {
        guard size == other.size else { return false }
        guard size > 0, let first = data, let second = other.data else { return true }
        for index in 0..<size where lowercase(first[index]) != lowercase(second[index]) { return false }
        return true
    }
}

/// Whether both have the same `size` bytes. For texts that are mostly short, as the literals of routes: up to 16 bytes
/// two loads of each, which may overlap, tell as much as a call that costs several times as many instructions.
@inline(__always)
func sameBytes(_ first: UnsafePointer<UInt8>, _ second: UnsafePointer<UInt8>, _ size: Int) -> Bool {
    let (left, right) = (UnsafeRawPointer(first), UnsafeRawPointer(second))
    @inline(__always) func ends<Word: FixedWidthInteger & BitwiseCopyable>(_: Word.Type) -> Bool {
        let last = size &- MemoryLayout<Word>.size
        return left.loadUnaligned(as: Word.self) == right.loadUnaligned(as: Word.self)
            && (left + last).loadUnaligned(as: Word.self) == (right + last).loadUnaligned(as: Word.self)
    }
    if size > 16 { return memcmp(left, right, size) == 0 }
    if size >= 8 { return ends(UInt64.self) }
    if size >= 4 { return ends(UInt32.self) }
    return size == 0 || (first[0] == second[0] && (size == 1 || ends(UInt16.self)))
}

@inline(__always)
func lowercase(_ byte: UInt8) -> UInt8 { byte &- 65 < 26 ? byte | 0x20 : byte }
