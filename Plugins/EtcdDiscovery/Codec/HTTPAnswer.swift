/// Why an answer of etcd is not used.
public struct EtcdFault: Error, Equatable, Sendable {
    public let message: String
    /// It has more bytes than are taken: a smaller one may be asked for.
    public let isTooLarge: Bool

    public init(_ message: String, isTooLarge: Bool = false) {
        self.message = message
        self.isTooLarge = isTooLarge
    }

    static let tooLarge = EtcdFault("an answer is larger than \(HTTPAnswer.bodyAtMost) bytes", isTooLarge: true)

    /// What a server wrote, fit for a log: printable ASCII, and not much of it.
    static func shown(_ text: some Sequence<UInt8>) -> String {
        String(decoding: text.prefix(200).map { $0 >= 32 && $0 < 127 ? $0 : UInt8(ascii: "?") }, as: UTF8.self)
    }
}

/// One response of HTTP/1.1 (RFC 9112) as its bytes come: its status, and its body, which may be a stream that does not
/// end. As much of the protocol as a server speaks to a client that asks once on a connection. Pure.
public struct HTTPAnswer: Sendable {
    /// A head of etcd has some 300 bytes.
    public static let headAtMost = 16_384
    /// A page of keys, or the events of one message, with room for what etcd takes as one request (1.5 MiB) in base 64,
    /// and for one value of almost 12 MiB where it takes more (`--max-request-bytes`).
    public static let bodyAtMost = 16 << 20

    private enum State: Equatable {
        case head
        case sized(left: Int)
        case chunkSize
        case chunk(left: Int)
        case chunkEnd
        case trailers
        case untilEnd
        case done
    }

    private var state = State.head
    /// A line, or the head, that has not ended yet.
    private var pending: [UInt8] = []
    /// Where lines of the body that were taken end.
    private var taken = 0
    /// Up to where no further line ends: a long one is not searched again with each piece of it.
    private var searched = 0
    private var body: [UInt8] = []

    /// 0 until the head is there.
    public private(set) var status: UInt16 = 0

    public init() {}

    public var isComplete: Bool { state == .done }
    /// What of the body has come and was not taken.
    public var content: ArraySlice<UInt8> { body[taken...] }

    /// The next whole line of the body; nil when none has come.
    public mutating func takeLine() -> [UInt8]? {
        guard let end = body[searched...].firstIndex(of: 10) else {
            body.removeFirst(taken)
            taken = 0
            searched = body.count
            return nil
        }
        defer {
            taken = end + 1
            searched = taken
        }
        return Array(body[taken..<end])
    }

    /// - Throws: what is no response, or is larger than an answer may be. Nothing of it is to be used then.
    public mutating func push(_ bytes: some Collection<UInt8>) throws(EtcdFault) {
        var rest = ArraySlice(Array(bytes))
        while !rest.isEmpty {
            switch state {
            case .head: try takeHead(&rest)
            case .sized(let left):
                let count = try take(left, &rest)
                state = count == left ? .done : .sized(left: left - count)
            case .chunk(let left):
                let count = try take(left, &rest)
                state = count == left ? .chunkEnd : .chunk(left: left - count)
            case .untilEnd: _ = try take(rest.count, &rest)
            case .chunkSize:
                guard let line = try line(&rest) else { return }
                let size = try Self.chunkSize(line)
                state = size == 0 ? .trailers : .chunk(left: size)
            case .chunkEnd:
                guard let line = try line(&rest) else { return }
                guard line.isEmpty else { throw EtcdFault("a chunk is longer than it says") }
                state = .chunkSize
            case .trailers:
                guard let line = try line(&rest) else { return }
                if line.isEmpty { state = .done }
            // It was asked once: what comes now is nobody's.
            case .done: return
            }
        }
    }

    /// The connection has ended.
    public mutating func end() throws(EtcdFault) {
        if state == .untilEnd { state = .done }
        guard state == .done else { throw EtcdFault("the connection ended within an answer") }
    }

    // MARK: Parts

    private mutating func take(_ most: Int, _ rest: inout ArraySlice<UInt8>) throws(EtcdFault) -> Int {
        let count = min(most, rest.count)
        guard body.count - taken + count <= Self.bodyAtMost else { throw .tooLarge }
        body += rest.prefix(count)
        rest = rest.dropFirst(count)
        return count
    }

    /// A line without its end, which may be a line feed alone.
    private mutating func line(_ rest: inout ArraySlice<UInt8>) throws(EtcdFault) -> [UInt8]? {
        let end = rest.firstIndex(of: 10)
        pending += rest[..<(end ?? rest.endIndex)]
        rest = end.map { rest[($0 + 1)...] } ?? []
        guard pending.count <= Self.headAtMost else { throw EtcdFault("a line of an answer does not end") }
        guard end != nil else { return nil }
        defer { pending = [] }
        return pending.last == 13 ? pending.dropLast() : pending
    }

    private var head: [[UInt8]] = []
    private var headSize = 0

    private mutating func takeHead(_ rest: inout ArraySlice<UInt8>) throws(EtcdFault) {
        guard let line = try line(&rest) else { return }
        headSize += line.count + 2
        guard headSize <= Self.headAtMost else { throw EtcdFault("the head of an answer does not end") }
        if !line.isEmpty { return head.append(line) }
        defer {
            head = []
            headSize = 0
        }
        let first = head.first ?? []
        let code = first.dropFirst(9).prefix(3)
        guard first.starts(with: "HTTP/1.".utf8), first.count >= 12, first[8] == 32,
            first.count == 12 || first[12] == 32, let number = UInt16(String(decoding: code, as: UTF8.self)),
            number >= 100
        else { throw EtcdFault("this is no answer of HTTP/1.1") }
        // An interim one (RFC 9110 §15.2): another follows.
        if number < 200 { return }
        status = number
        state = try Self.framing(head.dropFirst(), status: number)
    }

    /// RFC 9112 §6.3.
    private static func framing(_ fields: some Sequence<[UInt8]>, status: UInt16) throws(EtcdFault) -> State {
        if status == 204 || status == 304 { return .done }
        var size: Int?
        var isChunked = false
        for field in fields {
            guard let colon = field.firstIndex(of: UInt8(ascii: ":")) else { throw EtcdFault("a field has no name") }
            let name = String(decoding: field[..<colon], as: UTF8.self).lowercased()
            let value = String(decoding: field[(colon + 1)...].filter { $0 != 32 && $0 != 9 }, as: UTF8.self)
            if name == "transfer-encoding" {
                guard value.lowercased() == "chunked" else { throw EtcdFault("an answer has an encoding of its own") }
                isChunked = true
            }
            if name == "content-length" {
                guard let number = Int(value), number >= 0, size == nil || size == number else {
                    throw EtcdFault("the length of an answer is none")
                }
                guard number <= bodyAtMost else { throw .tooLarge }
                size = number
            }
        }
        if isChunked { return .chunkSize }
        if let size { return size == 0 ? .done : .sized(left: size) }
        return .untilEnd
    }

    private static func chunkSize(_ line: [UInt8]) throws(EtcdFault) -> Int {
        // An extension behind a semicolon says nothing here (RFC 9112 §7.1.1).
        let digits = line.prefix { $0 != UInt8(ascii: ";") && $0 != 32 }
        let text = String(decoding: digits, as: UTF8.self)
        guard !digits.isEmpty, digits.count <= 8, digits.first != UInt8(ascii: "+"), digits.first != UInt8(ascii: "-"),
            let size = Int(text, radix: 16)
        else { throw EtcdFault("the size of a chunk is none") }
        guard size <= bodyAtMost else { throw .tooLarge }
        return size
    }
}
