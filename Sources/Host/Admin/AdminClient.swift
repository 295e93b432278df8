import Glibc

/// One request to a running gateway through its admin socket.
enum AdminClient {
    /// Bytes of an answer: a status of 1,024 model versions with 4 endpoints each is below 2 MB.
    static let answerLimit = 64 << 20

    /// Waits for the whole answer.
    /// - Parameter timeoutMs: for all of it; a reload that probes many plugins takes seconds.
    static func request(
        _ method: String, _ target: String, socket path: String, timeoutMs: UInt64 = 120_000
    ) throws(AdminError) -> (status: Int, body: [UInt8]) {
        let descriptor = try AdminSocket.connect(path: path)
        defer { close(descriptor) }
        let deadline = nowMs() + timeoutMs
        let request = Array("\(method) \(target) HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n".utf8)
        var sent = 0
        while sent < request.count {
            try wait(descriptor, POLLOUT, deadline, path)
            let count = request[sent...].withUnsafeBytes {
                send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            if count > 0 {
                sent += count
            } else if errno != EAGAIN, errno != EINTR {
                throw failure(path)
            }
        }
        var answer: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 65_536)
        while true {
            try wait(descriptor, POLLIN, deadline, path)
            let count = recv(descriptor, &piece, piece.count, 0)
            if count == 0 { break }
            if count > 0 {
                answer += piece[0..<count]
            } else if errno != EAGAIN, errno != EINTR {
                throw failure(path)
            }
            if answer.count > answerLimit { throw AdminError("\(path): the answer exceeds \(answerLimit) bytes") }
        }
        guard let parsed = parse(answer) else {
            throw AdminError("\(path): the gateway ended the connection before its answer was complete")
        }
        return parsed
    }

    /// Status and body of an answer whose end is its connection's end; nil when it is cut.
    static func parse(_ answer: [UInt8]) -> (status: Int, body: [UInt8])? {
        let separator = Array("\r\n\r\n".utf8)
        guard
            let end = answer.indices.first(where: { answer[$0...].starts(with: separator) })
        else { return nil }
        let lines = String(decoding: answer[..<end], as: UTF8.self).split(separator: "\r\n")
        let words = (lines.first ?? "").split(separator: " ")
        guard words.count >= 2, words[0].hasPrefix("HTTP/1."), let status = Int(words[1]) else { return nil }
        let body = Array(answer[(end + 4)...])
        for line in lines.dropFirst() where line.lowercased().hasPrefix("content-length:") {
            guard Int(line.dropFirst(15).drop(while: { $0 == " " })) == body.count else { return nil }
        }
        return (status, body)
    }

    private static func wait(
        _ descriptor: Int32, _ events: Int32, _ deadline: UInt64, _ path: String
    ) throws(AdminError) {
        while true {
            let now = nowMs()
            guard now < deadline else { throw AdminError("\(path): the gateway does not answer") }
            var polled = pollfd(fd: descriptor, events: Int16(events), revents: 0)
            if poll(&polled, 1, Int32(min(deadline - now, 60_000))) > 0 { return }
        }
    }

    private static func failure(_ path: String) -> AdminError {
        AdminError("\(path): \(String(cString: strerror(errno)))")
    }

    private static func nowMs() -> UInt64 {
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        return UInt64(now.tv_sec) * 1_000 + UInt64(now.tv_nsec) / 1_000_000
    }
}
