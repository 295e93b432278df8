/// Reads the parts of a message in their order.
struct DNSReader {
    private let bytes: [UInt8]
    private var offset = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    enum Part {
        case record(DNSRecord)
        /// OPT, with the upper bits of the response's code.
        case options(UInt16)
        /// Of another class.
        case foreign
    }

    mutating func byte() throws(DNSFault) -> UInt8 {
        guard offset < bytes.count else { throw DNSFault() }
        defer { offset += 1 }
        return bytes[offset]
    }

    mutating func number() throws(DNSFault) -> UInt16 {
        let high = try byte()
        return UInt16(high) << 8 | UInt16(try byte())
    }

    mutating func longNumber() throws(DNSFault) -> UInt32 {
        let high = try number()
        return UInt32(high) << 16 | UInt32(try number())
    }

    /// A name in its canonical form. A pointer (RFC 1035 §4.1.4) points before the place from which the name was read
    /// on last, so that every name ends; its 255 octets bound the work.
    mutating func name() throws(DNSFault) -> String {
        var text: [UInt8] = []
        var octets = 1
        var cursor = offset
        var bound = offset
        var end: Int?
        while true {
            guard cursor < bytes.count else { throw DNSFault() }
            let length = Int(bytes[cursor])
            if length == 0 {
                offset = end ?? cursor + 1
                return String(decoding: text, as: UTF8.self)
            }
            if length >= 0xC0 {
                guard cursor + 1 < bytes.count else { throw DNSFault() }
                let target = (length & 0x3F) << 8 | Int(bytes[cursor + 1])
                guard target < bound else { throw DNSFault() }
                if end == nil { end = cursor + 2 }
                bound = target
                cursor = target
                continue
            }
            octets += length + 1
            guard length <= DNSName.labelAtMost, cursor + 1 + length <= bytes.count, octets <= 255 else {
                throw DNSFault()
            }
            if !text.isEmpty { text.append(UInt8(ascii: ".")) }
            for index in cursor + 1..<cursor + 1 + length { DNSName.append(bytes[index], to: &text) }
            cursor += 1 + length
        }
    }

    mutating func record() throws(DNSFault) -> Part {
        let name = try name()
        let type = try number()
        let classNumber = try number()
        let ttl = try longNumber()
        let size = Int(try number())
        let end = offset + size
        guard end <= bytes.count else { throw DNSFault() }
        if type == DNSType.opt.rawValue {
            offset = end
            return .options(UInt16(ttl >> 24))
        }
        guard classNumber == 1 else {
            offset = end
            return .foreign
        }
        let data = try data(of: type, size)
        // Nothing of a record is left over, and none reads on into the next one.
        guard offset == end else { throw DNSFault() }
        // RFC 2181 §8: with the highest bit set it is 0.
        return .record(DNSRecord(name: name, data: data, ttl: ttl > 0x7FFF_FFFF ? 0 : ttl))
    }

    private mutating func data(of type: UInt16, _ size: Int) throws(DNSFault) -> DNSRecord.Data {
        switch DNSType(rawValue: type) {
        case .a, .aaaa:
            guard size == (type == DNSType.a.rawValue ? 4 : 16) else { throw DNSFault() }
            defer { offset += size }
            return .address(DNSAddress(octets: Array(bytes[offset..<offset + size])))
        case .cname: return .alias(try name())
        case .ns:
            _ = try name()
            return .nameServer
        case .srv:
            let (priority, weight, port) = (try number(), try number(), try number())
            return .service(priority: priority, weight: weight, port: port, target: try name())
        case .soa:
            _ = try name()
            _ = try name()
            for _ in 0..<4 { _ = try longNumber() }
            return .zone(minimum: try longNumber())
        case .opt, nil:
            offset += size
            return .other
        }
    }
}
