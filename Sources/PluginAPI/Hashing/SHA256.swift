/// SHA-256 (FIPS 180-4) of bytes that are there at once. Nothing is allocated, and the time depends on their number
/// alone.
@frozen
public struct SHA256: Hashable, BitwiseCopyable, Sendable {
    /// The digest, its first bytes in the highest bits of the first word.
    public let words: (UInt64, UInt64, UInt64, UInt64)

    public init(words: (UInt64, UInt64, UInt64, UInt64)) { self.words = words }

    /// The digest of `bytes`.
    public init(of bytes: UnsafeRawBufferPointer) {
        var state = State()
        let whole = bytes.count & ~63
        var offset = 0
        while offset < whole {
            state.compress(UnsafeRawBufferPointer(rebasing: bytes[offset..<(offset &+ 64)]))
            offset &+= 64
        }
        // What is left, the bit 1, zeros, and the number of bits in the last 8 bytes (section 5.1.1).
        let rest = bytes.count &- whole
        let padded = rest < 56 ? 64 : 128
        withUnsafeTemporaryAllocation(byteCount: 128, alignment: 8) { last in
            _ = last.initializeMemory(as: UInt8.self, repeating: 0)
            if rest > 0 { last.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[whole...])) }
            last[rest] = 0x80
            last.storeBytes(of: (UInt64(bytes.count) &* 8).bigEndian, toByteOffset: padded &- 8, as: UInt64.self)
            for start in stride(from: 0, to: padded, by: 64) {
                state.compress(UnsafeRawBufferPointer(rebasing: last[start..<(start &+ 64)]))
            }
        }
        words = state.digest
    }

    /// The digest that 64 hexadecimal digits say; nil for anything else.
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
        self.words = words
    }

    /// In a time that does not depend on where they differ.
    public static func == (left: SHA256, right: SHA256) -> Bool {
        let difference =
            (left.words.0 ^ right.words.0) | (left.words.1 ^ right.words.1) | (left.words.2 ^ right.words.2)
            | (left.words.3 ^ right.words.3)
        return difference == 0
    }

    public func hash(into hasher: inout Hasher) { hasher.combine(words.0) }
}

extension SHA256 {
    private struct State {
        private var h: (UInt32, UInt32, UInt32, UInt32, UInt32, UInt32, UInt32, UInt32) = (
            0x6A09_E667, 0xBB67_AE85, 0x3C6E_F372, 0xA54F_F53A, 0x510E_527F, 0x9B05_688C, 0x1F83_D9AB, 0x5BE0_CD19
        )

        var digest: (UInt64, UInt64, UInt64, UInt64) {
            func pair(_ high: UInt32, _ low: UInt32) -> UInt64 { UInt64(high) &<< 32 | UInt64(low) }
            return (pair(h.0, h.1), pair(h.2, h.3), pair(h.4, h.5), pair(h.6, h.7))
        }

        /// Section 6.2.2.
        mutating func compress(_ block: UnsafeRawBufferPointer) {
            withUnsafeTemporaryAllocation(of: UInt32.self, capacity: 64) { w in
                for index in 0..<16 {
                    let word = block.loadUnaligned(fromByteOffset: index &* 4, as: UInt32.self)
                    w.initializeElement(at: index, to: UInt32(bigEndian: word))
                }
                for index in 16..<64 {
                    let (a, b) = (w[index &- 15], w[index &- 2])
                    let first = Self.rotate(a, 7) ^ Self.rotate(a, 18) ^ a &>> 3
                    let second = Self.rotate(b, 17) ^ Self.rotate(b, 19) ^ b &>> 10
                    w.initializeElement(at: index, to: w[index &- 16] &+ first &+ w[index &- 7] &+ second)
                }
                var v = h
                for index in 0..<64 {
                    let mixed = Self.rotate(v.4, 6) ^ Self.rotate(v.4, 11) ^ Self.rotate(v.4, 25)
                    let chosen = v.4 & v.5 ^ ~v.4 & v.6
                    let one = v.7 &+ mixed &+ chosen &+ SHA256.constants[index] &+ w[index]
                    let other = Self.rotate(v.0, 2) ^ Self.rotate(v.0, 13) ^ Self.rotate(v.0, 22)
                    let most = v.0 & v.1 ^ v.0 & v.2 ^ v.1 & v.2
                    v = (one &+ other &+ most, v.0, v.1, v.2, v.3 &+ one, v.4, v.5, v.6)
                }
                h = (
                    h.0 &+ v.0, h.1 &+ v.1, h.2 &+ v.2, h.3 &+ v.3, h.4 &+ v.4, h.5 &+ v.5, h.6 &+ v.6, h.7 &+ v.7
                )
            }
        }

        @inline(__always)
        private static func rotate(_ value: UInt32, _ by: UInt32) -> UInt32 { value &>> by | value &<< (32 &- by) }
    }

    /// Section 4.2.2: of the cube roots of the first 64 primes the first 32 bits behind the point.
    private static let constants: [UInt32] = [
        0x428A_2F98, 0x7137_4491, 0xB5C0_FBCF, 0xE9B5_DBA5, 0x3956_C25B, 0x59F1_11F1, 0x923F_82A4, 0xAB1C_5ED5,
        0xD807_AA98, 0x1283_5B01, 0x2431_85BE, 0x550C_7DC3, 0x72BE_5D74, 0x80DE_B1FE, 0x9BDC_06A7, 0xC19B_F174,
        0xE49B_69C1, 0xEFBE_4786, 0x0FC1_9DC6, 0x240C_A1CC, 0x2DE9_2C6F, 0x4A74_84AA, 0x5CB0_A9DC, 0x76F9_88DA,
        0x983E_5152, 0xA831_C66D, 0xB003_27C8, 0xBF59_7FC7, 0xC6E0_0BF3, 0xD5A7_9147, 0x06CA_6351, 0x1429_2967,
        0x27B7_0A85, 0x2E1B_2138, 0x4D2C_6DFC, 0x5338_0D13, 0x650A_7354, 0x766A_0ABB, 0x81C2_C92E, 0x9272_2C85,
        0xA2BF_E8A1, 0xA81A_664B, 0xC24B_8B70, 0xC76C_51A3, 0xD192_E819, 0xD699_0624, 0xF40E_3585, 0x106A_A070,
        0x19A4_C116, 0x1E37_6C08, 0x2748_774C, 0x34B0_BCB5, 0x391C_0CB3, 0x4ED8_AA4A, 0x5B9C_CA4F, 0x682E_6FF3,
        0x748F_82EE, 0x78A5_636F, 0x84C8_7814, 0x8CC7_0208, 0x90BE_FFFA, 0xA450_6CEB, 0xBEF9_A3F7, 0xC671_78F2,
    ]
}
