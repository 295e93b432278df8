/// A request to the admin socket or the metrics listener: HTTP/1.x as far as curl and Prometheus need it. The strict
/// parser of the gateway's own traffic is not used, since an answer here always ends its connection: nothing can be
/// smuggled behind it.
struct AdminRequest: Equatable {
    var method: String
    /// Without the query.
    var path: String
    /// Without the `?`.
    var query: String

    /// Bytes of a request, head and body together. Ours are some 100 bytes; a browser's head fits.
    static let sizeLimit = 8_192

    enum Progress: Equatable {
        case incomplete
        case complete(AdminRequest)
        /// The status to answer and why.
        case malformed(Int, String)
    }

    /// What `bytes`, all that came so far, say.
    static func read(_ bytes: [UInt8]) -> Progress {
        guard let end = headEnd(bytes) else {
            return bytes.count >= sizeLimit ? .malformed(431, "the head exceeds \(sizeLimit) bytes") : .incomplete
        }
        let lines = String(decoding: bytes[..<end], as: UTF8.self)
            .split(omittingEmptySubsequences: false, whereSeparator: { $0 == "\r\n" || $0 == "\n" })
        let parts = (lines.first ?? "").split(separator: " ", omittingEmptySubsequences: false)
        guard parts.count == 3, !parts[0].isEmpty, parts[2].hasPrefix("HTTP/1."), parts[1].hasPrefix("/") else {
            return .malformed(400, "not a request line of HTTP/1.1")
        }
        var bodySize = 0
        for line in lines.dropFirst() {
            guard let colon = line.firstIndex(of: ":") else { continue }
            switch line[..<colon].lowercased() {
            case "content-length":
                let value = line[line.index(after: colon)...].drop(while: { $0 == " " || $0 == "\t" })
                guard let size = Int(value), size >= 0 else { return .malformed(400, "not a Content-Length") }
                bodySize = size
            case "transfer-encoding": return .malformed(411, "a body needs a Content-Length")
            default: break
            }
        }
        // The body says nothing here, but it is read: closing a connection on unread bytes would reset it.
        if bodySize > sizeLimit - end { return .malformed(413, "the request exceeds \(sizeLimit) bytes") }
        if bytes.count < end + bodySize { return .incomplete }
        let target = parts[1].split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        return .complete(
            AdminRequest(
                method: String(parts[0]), path: String(target[0]), query: target.count > 1 ? String(target[1]) : ""))
    }

    /// Where the empty line ends.
    private static func headEnd(_ bytes: [UInt8]) -> Int? {
        var lineIsEmpty = false
        for (index, byte) in bytes.enumerated() {
            if byte == UInt8(ascii: "\n") {
                if lineIsEmpty { return index + 1 }
                lineIsEmpty = true
            } else if byte != UInt8(ascii: "\r") {
                lineIsEmpty = false
            }
        }
        return nil
    }
}

/// An answer, which ends the connection.
struct AdminResponse {
    var status: Int
    var contentType = "text/plain; charset=utf-8"
    var body: [UInt8]
    /// Methods that the path takes, for 405.
    var allow: String?

    init(_ status: Int, _ text: String, allow: String? = nil) {
        self.status = status
        body = Array((text + "\n").utf8)
        self.allow = allow
    }

    init(status: Int, contentType: String, body: [UInt8]) {
        self.status = status
        self.contentType = contentType
        self.body = body
    }

    func bytes(withBody: Bool) -> [UInt8] {
        let reason = Self.reasons[status] ?? "Status"
        var head = "HTTP/1.1 \(status) \(reason)\r\nContent-Type: \(contentType)\r\nContent-Length: \(body.count)\r\n"
        if let allow { head += "Allow: \(allow)\r\n" }
        head += "Cache-Control: no-store\r\nConnection: close\r\n\r\n"
        return Array(head.utf8) + (withBody ? body : [])
    }

    private static let reasons = [
        200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 408: "Request Timeout",
        411: "Length Required", 413: "Content Too Large", 422: "Unprocessable Content",
        431: "Request Header Fields Too Large",
    ]
}
