/// Types of records that matter here (RFC 1035 §3.2.2; RFC 3596, RFC 2782, RFC 6891).
public enum DNSType: UInt16, Sendable, Hashable {
    case a = 1
    case ns = 2
    case cname = 5
    case soa = 6
    case aaaa = 28
    case srv = 33
    case opt = 41
}

/// What is asked.
public struct DNSQuestion: Sendable, Hashable {
    /// As `DNSName.canonical` makes it.
    public var name: String
    public var type: DNSType

    public init(name: String, type: DNSType) {
        self.name = DNSName.canonical(name)
        self.type = type
    }
}

/// A response is not one: it ends within something, or something in it cannot be.
public struct DNSFault: Error, Equatable, Sendable {}

/// A record, its data read.
public struct DNSRecord: Equatable, Sendable {
    public enum Data: Equatable, Sendable {
        case address(DNSAddress)
        case alias(String)
        case service(priority: UInt16, weight: UInt16, port: UInt16, target: String)
        /// A zone has a server; which one does not matter here.
        case nameServer
        /// The begin of a zone: how long an answer of nothing holds at most, in seconds (RFC 2308 §4).
        case zone(minimum: UInt32)
        /// Of a type that is not asked for.
        case other
    }
    /// Whose it is.
    public var name: String
    public var data: Data
    /// Seconds for which it may be kept.
    public var ttl: UInt32
}

/// A response of a server, read whole.
public struct DNSResponse: Equatable, Sendable {
    public var id: UInt16
    /// More was to be said than the datagram holds: the same is to be asked over TCP, and nothing here is used.
    public var isTruncated: Bool
    /// The server has the zone itself (AA), or asks others for who asks it (RA). With neither of them it knows nothing
    /// of the name (RFC 1035 §4.1.1).
    public var isAuthoritative = false
    public var asksOthers = false
    /// 0 no error, 1 format error, 2 server failure, 3 no such name, 4 not implemented, 5 refused (RFC 1035 §4.1.1), 16
    /// bad version of EDNS (RFC 6891 §9).
    public var code: UInt16
    /// What was asked, as the server repeats it; nil in a refusal that repeats nothing.
    public var asked: (name: String, type: UInt16)?
    public var answers: [DNSRecord] = []
    public var authority: [DNSRecord] = []
    public var additional: [DNSRecord] = []

    /// Whether this is to the question that was asked under that id (RFC 5452 §9.1). Who does not repeat the question
    /// can say no more than that it failed.
    public func isTo(_ question: DNSQuestion, id: UInt16) -> Bool {
        guard self.id == id else { return false }
        guard let asked else { return code != 0 && code != 3 }
        return asked.name == question.name && asked.type == question.type.rawValue
    }

    public static func == (left: Self, right: Self) -> Bool {
        left.id == right.id && left.isTruncated == right.isTruncated && left.code == right.code
            && left.isAuthoritative == right.isAuthoritative && left.asksOthers == right.asksOthers
            && left.asked?.name == right.asked?.name && left.asked?.type == right.asked?.type
            && left.answers == right.answers && left.authority == right.authority
            && left.additional == right.additional
    }
}

/// Messages of DNS (RFC 1035 §4), over UDP with EDNS(0) (RFC 6891) and over TCP. Pure: bytes in, values out.
public enum DNSMessage {
    /// What a datagram may have so that no path cuts it into fragments: the 1,280 bytes that every link of IPv6 carries
    /// (RFC 8200 §5), less the headers of IPv6 and UDP.
    public static let datagramBytes = 1_232
    /// Records that are read of one response; 65,535 bytes have room for fewer than 6,000 of the smallest.
    public static let recordsAtMost = 8_192

    /// One question, with the wish that the server asks others (RD). Nil: the name is none.
    ///
    /// - Parameter edns: says how large a datagram may be. There are servers that refuse to read that.
    public static func query(id: UInt16, _ question: DNSQuestion, edns: Bool) -> [UInt8]? {
        guard let labels = DNSName.labels(of: question.name) else { return nil }
        var bytes: [UInt8] = []
        func put(_ value: UInt16) { bytes += [UInt8(value >> 8), UInt8(value & 255)] }
        for value in [id, 0x0100, 1, 0, 0, edns ? 1 : 0] { put(value) }
        for label in labels { bytes += [UInt8(label.count)] + label }
        bytes.append(0)
        put(question.type.rawValue)
        put(1)
        if edns {
            // The root as its owner, the size in place of the class, and neither flags nor options.
            bytes.append(0)
            for value in [DNSType.opt.rawValue, UInt16(datagramBytes), 0, 0, 0] { put(value) }
        }
        return bytes
    }

    /// Reads a response to one standard query. What is behind the last record is passed over.
    public static func response(_ bytes: [UInt8]) throws(DNSFault) -> DNSResponse {
        var reader = DNSReader(bytes)
        let id = try reader.number()
        let flags = try reader.number()
        let questions = try reader.number()
        let counts = [try reader.number(), try reader.number(), try reader.number()]
        // A response (QR), to a standard query (opcode 0).
        guard flags & 0xF800 == 0x8000, questions <= 1 else { throw DNSFault() }
        var response = DNSResponse(
            id: id, isTruncated: flags & 0x0200 != 0, isAuthoritative: flags & 0x0400 != 0,
            asksOthers: flags & 0x0080 != 0, code: flags & 15)
        if questions == 1 {
            response.asked = (try reader.name(), try reader.number())
            guard try reader.number() == 1 else { throw DNSFault() }
        }
        // It may end anywhere.
        if response.isTruncated { return response }
        var left = recordsAtMost
        for (section, count) in counts.enumerated() {
            for _ in 0..<count {
                guard left > 0 else { return response }
                left -= 1
                switch try reader.record() {
                case .foreign: break
                // The upper bits of the code (RFC 6891 §6.1.3).
                case .options(let high): response.code |= high << 4
                case .record(let record):
                    switch section {
                    case 0: response.answers.append(record)
                    case 1: response.authority.append(record)
                    default: response.additional.append(record)
                    }
                }
            }
        }
        return response
    }
}
