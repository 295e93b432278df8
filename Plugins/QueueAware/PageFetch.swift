import Glibc
import LoadReports
import SluicePlugin

/// One page of metrics on its way: a socket that never blocks, and what came of the answer so far.
struct PageFetch {
    enum State: Equatable {
        case connecting
        case reading
        case done(Range<Int>)
        case failed(String)
    }

    private(set) var state = State.connecting
    private(set) var descriptor: Int32 = -1
    private(set) var answer: [UInt8] = []
    private var filled = 0
    private let request: [UInt8]
    private let maxBytes: Int

    /// A page is rarely less; more is doubled until it fits.
    private static let firstBytes = 65_536

    init(_ target: ScrapeTarget, to address: ResolvedAddress, path: String, maxBytes: Int) {
        // HTTP/1.0: the end of the connection ends the answer, and no chunk stands in it.
        request = Array(
            "GET \(path) HTTP/1.0\r\nHost: \(target.authority)\r\nAccept: text/plain\r\nConnection: close\r\n\r\n".utf8)
        self.maxBytes = maxBytes
        let kind = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        descriptor = socket(address.family, kind, 0)
        guard descriptor >= 0 else {
            fail("no socket: \(Self.lastError)")
            return
        }
        guard address.withPointer({ connect(descriptor, $0, $1) }) != 0 else { return }
        // A Unix socket whose queue is full says EAGAIN, and does not tell when it has room.
        if errno != EINPROGRESS { fail("cannot connect: \(Self.lastError)") }
    }

    static var lastError: String { String(cString: strerror(errno)) }

    /// What to poll for; nil when there is nothing more to come.
    var events: Int16? {
        switch state {
        case .connecting: Int16(POLLOUT)
        case .reading: Int16(POLLIN)
        case .done, .failed: nil
        }
    }

    /// The socket has something to tell.
    mutating func advance() {
        switch state {
        case .connecting: send()
        case .reading: receive()
        case .done, .failed: break
        }
    }

    mutating func fail(_ why: String) {
        state = .failed(why)
        end()
    }

    /// Closes the socket; the answer stays.
    private mutating func end() {
        if descriptor >= 0 { close(descriptor) }
        descriptor = -1
    }

    private mutating func send() {
        var code: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &size)
        guard code == 0 else { return fail("cannot connect: \(String(cString: strerror(code)))") }
        // A fresh socket's buffer takes a request of a few hundred bytes whole.
        let sent = Glibc.send(descriptor, request, request.count, Int32(MSG_NOSIGNAL))
        guard sent == request.count else { return fail("the request cannot be sent") }
        answer = [UInt8](repeating: 0, count: min(Self.firstBytes, maxBytes))
        state = .reading
    }

    private mutating func receive() {
        while true {
            if filled == answer.count {
                guard filled < maxBytes else { return fail("its page is larger than 'scrape.max_bytes'") }
                answer.append(contentsOf: repeatElement(0, count: min(filled, maxBytes - filled)))
            }
            let room = answer.count - filled
            let count = answer.withUnsafeMutableBytes { recv(descriptor, $0.baseAddress.map { $0 + filled }, room, 0) }
            if count > 0 {
                filled += count
            } else if count == 0 {
                let size = filled
                let page = answer.withUnsafeMutableBytes {
                    PageAnswer.page(UnsafeMutableRawBufferPointer(rebasing: $0[..<size]))
                }
                guard let page else { return fail("its answer is no page of metrics: not HTTP, not 200, or cut") }
                state = .done(page)
                return end()
            } else if errno == EAGAIN {
                return
            } else if errno != EINTR {
                return fail("cannot read: \(Self.lastError)")
            }
        }
    }
}
