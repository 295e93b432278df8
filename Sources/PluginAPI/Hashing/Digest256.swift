/// A digest of 256 bits, as the key of a table. In memory its bytes stand in their order.
@frozen
public struct Digest256: Equatable, Sendable, BitwiseCopyable {
    public var first: UInt64 = 0
    public var second: UInt64 = 0
    public var third: UInt64 = 0
    public var fourth: UInt64 = 0

    @inlinable
    public init() {}

    /// What 64 hexadecimal digits say; nil for anything else.
    public init?(hexadecimal text: some Collection<UInt8>) {
        guard text.count == 64 else { return nil }
        var words: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
        for byte in text {
            let digit: UInt64
            switch byte {
            case 0x30...0x39: digit = UInt64(byte &- 0x30)
            case 0x41...0x46: digit = UInt64(byte &- 0x41 &+ 10)
            case 0x61...0x66: digit = UInt64(byte &- 0x61 &+ 10)
            default: return nil
            }
            words.0 = words.0 &<< 4 | words.1 &>> 60
            words.1 = words.1 &<< 4 | words.2 &>> 60
            words.2 = words.2 &<< 4 | words.3 &>> 60
            words.3 = words.3 &<< 4 | digit
        }
        (first, second) = (words.0.bigEndian, words.1.bigEndian)
        (third, fourth) = (words.2.bigEndian, words.3.bigEndian)
    }

    /// In a time that does not depend on where they differ.
    @inlinable @inline(__always)
    public static func == (left: Digest256, right: Digest256) -> Bool {
        (left.first ^ right.first) | (left.second ^ right.second) | (left.third ^ right.third)
            | (left.fourth ^ right.fourth) == 0
    }
}
