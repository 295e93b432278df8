/// A request or response as it stood on the wire, read by a parser that shares nothing with the gateway's.
struct HTTPMessage: Sendable {
    /// The request line or status line.
    var start = ""
    var fields: [(name: String, value: String)] = []
    var body: [UInt8] = []
    var trailers: [(name: String, value: String)] = []
    /// Sizes of the chunks in which the body came; empty when it was not chunked.
    var chunks: [Int] = []
    /// 1xx responses that came before it.
    var interim: [Int] = []
    /// False when the connection ended before the message did.
    var complete = true

    var status: Int { Int(start.split(separator: " ").dropFirst().first ?? "") ?? 0 }
    var method: String { String(start.split(separator: " ").first ?? "") }
    var target: String { String(start.split(separator: " ").dropFirst().first ?? "") }
    var bodyText: String { text(body) }

    func field(_ name: String) -> String? { fields.first { $0.name.lowercased() == name.lowercased() }?.value }
    func all(_ name: String) -> [String] {
        fields.filter { $0.name.lowercased() == name.lowercased() }.map(\.value)
    }
}

/// Reads messages from a socket, keeping what came early for the next one, and everything for a test to look at.
final class MessageReader {
    let socket: Socket
    /// All bytes that came, as they came.
    private(set) var received: [UInt8] = []
    private var position = 0
    private(set) var ended = false

    init(_ socket: Socket) { self.socket = socket }

    /// Bytes that came after the last message read.
    var left: ArraySlice<UInt8> { received[position...] }

    /// One more piece from the socket; false at the end or when late.
    func more(_ deadline: Deadline) throws -> Bool {
        switch socket.receive(deadline) {
        case .data(let data):
            received += data
            return true
        case .end, .reset:
            ended = true
            return false
        case .late: throw HarnessError("no bytes in time; so far: \(text(received[position...].prefix(2_000)))")
        }
    }

    /// A line without its CR LF; nil at the end of the connection.
    func line(_ deadline: Deadline) throws -> String? {
        var scanned = position
        while true {
            if let newline = received[scanned...].firstIndex(of: 10) {
                var end = newline
                if end > position, received[end - 1] == 13 { end -= 1 }
                defer { position = newline + 1 }
                return text(received[position..<end])
            }
            scanned = received.count
            guard try more(deadline) else { return nil }
        }
    }

    func take(_ count: Int, _ deadline: Deadline) throws -> [UInt8]? {
        while received.count - position < count {
            guard try more(deadline) else { return nil }
        }
        defer { position += count }
        return Array(received[position..<position + count])
    }

    /// Everything until the peer closes.
    func rest(_ deadline: Deadline = .ordinary) throws -> [UInt8] {
        while try more(deadline) {}
        defer { position = received.count }
        return Array(received[position...])
    }

    /// A request; nil when the connection ended before its first byte.
    func request(_ deadline: Deadline = .ordinary) throws -> HTTPMessage? {
        guard var message = try head(deadline) else { return nil }
        try readBody(of: &message, untilClose: false, deadline)
        return message
    }

    /// A response to a request of `method`; interim responses are gathered. Nil when the connection ended first.
    func response(to method: String = "GET", _ deadline: Deadline = .ordinary) throws -> HTTPMessage? {
        var interim: [Int] = []
        while true {
            guard var message = try head(deadline) else { return nil }
            if (100..<200).contains(message.status), message.status != 101 {
                interim.append(message.status)
                continue
            }
            message.interim = interim
            let bodiless = method == "HEAD" || message.status == 204 || message.status == 304 || message.status == 101
            if !bodiless, message.complete { try readBody(of: &message, untilClose: true, deadline) }
            return message
        }
    }

    /// A start line and fields.
    func head(_ deadline: Deadline) throws -> HTTPMessage? {
        var message = HTTPMessage()
        guard let start = try line(deadline) else { return nil }
        message.start = start
        message.complete = try readFields(into: &message.fields, deadline)
        return message
    }

    private func readFields(
        into fields: inout [(name: String, value: String)], _ deadline: Deadline
    ) throws -> Bool {
        while let line = try line(deadline) {
            if line.isEmpty { return true }
            let parts = line.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            let value = parts.count > 1 ? String(parts[1].drop { $0 == " " }) : ""
            fields.append((String(parts[0]), value))
        }
        return false
    }

    func readBody(of message: inout HTTPMessage, untilClose: Bool, _ deadline: Deadline) throws {
        if message.field("transfer-encoding")?.lowercased() == "chunked" {
            while true {
                guard let sizeLine = try line(deadline),
                    let size = Int(sizeLine.prefix { $0 != ";" }, radix: 16)
                else {
                    message.complete = false
                    return
                }
                if size == 0 { break }
                message.chunks.append(size)
                guard let data = try take(size, deadline), try take(2, deadline) != nil else {
                    message.complete = false
                    return
                }
                message.body += data
            }
            message.complete = try readFields(into: &message.trailers, deadline)
        } else if let length = message.field("content-length").flatMap({ Int($0) }) {
            if let data = try take(length, deadline) {
                message.body = data
            } else {
                message.complete = false
                message.body = try rest(deadline)
            }
        } else if untilClose {
            message.body = try rest(deadline)
        }
    }
}
