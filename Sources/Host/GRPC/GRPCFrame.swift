import SluiceABI

/// The prefix of a message (gRPC over HTTP/2, "Length-Prefixed-Message"): one byte that says whether it is compressed,
/// and its size in four bytes, big endian. Pure.
enum GRPCFrame {
    static let prefixSize = 5

    /// The bytes are no whole message, or more than one.
    struct Malformed: Error {}

    struct Message {
        /// Without the prefix.
        var content: sluice_bytes
        var isCompressed: Bool
    }

    /// The size of the first message, prefix included; nil when there are too few bytes to tell.
    static func firstSize(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> Int? {
        guard count >= prefixSize else { return nil }
        let size = UInt32(bytes[1]) << 24 | UInt32(bytes[2]) << 16 | UInt32(bytes[3]) << 8 | UInt32(bytes[4])
        return Int(size) + prefixSize
    }

    /// The first message. `alone`: nothing may follow it.
    static func message(_ bytes: sluice_bytes, alone: Bool) throws(Malformed) -> Message {
        guard let data = bytes.data, let size = firstSize(data, bytes.size), size <= bytes.size,
            !alone || size == bytes.size, data[0] <= 1
        else { throw Malformed() }
        return Message(content: sluice_bytes(data + prefixSize, size - prefixSize), isCompressed: data[0] == 1)
    }

    static func writePrefix(_ size: Int, to place: UnsafeMutablePointer<UInt8>) {
        place[0] = 0
        place[1] = UInt8(truncatingIfNeeded: size >> 24)
        place[2] = UInt8(truncatingIfNeeded: size >> 16)
        place[3] = UInt8(truncatingIfNeeded: size >> 8)
        place[4] = UInt8(truncatingIfNeeded: size)
    }
}
