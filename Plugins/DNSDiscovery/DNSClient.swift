import DNSDiscoveryCodec
import Glibc
import SluicePlugin

/// Asks name servers, one question at a time: over UDP, and over TCP when a datagram is too small for the answer. On
/// the discovery's own thread.
struct DNSClient {
    struct Settings: Sendable {
        /// Empty: those of /etc/resolv.conf, read before each look, for it may change.
        var servers: [NameServer] = []
        /// What one server is given for one try.
        var timeoutMs = 2_000
        /// How often all servers are tried.
        var rounds = 2
    }

    /// Why one try on one server brought nothing.
    private enum Failure: Error {
        case text(String)
        /// It does not read EDNS.
        case withoutEDNS
        case stopped
    }

    private let settings: Settings
    private let signal: StopSignal
    private let counters: DNSCounters
    private var servers: [NameServer] = []
    /// The server that answered last is asked first.
    private var preferred = 0

    init(_ settings: Settings, _ signal: StopSignal, _ counters: DNSCounters) {
        self.settings = settings
        self.signal = signal
        self.counters = counters
    }

    /// Before the first question of a look.
    mutating func findServers() {
        let found = settings.servers.isEmpty ? Self.systemServers() : settings.servers
        if found != servers {
            servers = found
            preferred = 0
        }
    }

    private static func systemServers() -> [NameServer] {
        var text: [UInt8] = []
        let descriptor = open("/etc/resolv.conf", O_RDONLY | O_CLOEXEC)
        if descriptor >= 0 {
            defer { close(descriptor) }
            var piece = [UInt8](repeating: 0, count: 4_096)
            // Servers stand at its begin; 64 KiB is far more than it ever has.
            while text.count < 65_536 {
                let count = read(descriptor, &piece, piece.count)
                guard count > 0 else { break }
                text += piece[..<count]
            }
        }
        return NameServer.listed(in: String(decoding: text, as: UTF8.self))
    }

    mutating func ask(_ question: DNSQuestion) throws(DNSTrouble) -> DNSAnswer {
        var reason = "there is no server to ask"
        var refusal: DNSAnswer?
        for _ in 0..<settings.rounds {
            for offset in servers.indices {
                let index = (preferred + offset) % servers.count
                do throws(Failure) {
                    let answer = DNSAnswer(try tryOnce(servers[index], question), to: question)
                    // Another server may know better.
                    if case .failed = answer.outcome {
                        refusal = answer
                        continue
                    }
                    preferred = index
                    return answer
                } catch {
                    switch error {
                    case .stopped: throw .stopped
                    case .withoutEDNS: reason = "\(servers[index].text) cannot read the question"
                    case .text(let text): reason = "\(servers[index].text) \(text)"
                    }
                }
            }
        }
        if let refusal { return refusal }
        throw .silence("no name server answers for `\(question.name)`: \(reason)")
    }

    // MARK: One try

    private func tryOnce(_ server: NameServer, _ question: DNSQuestion) throws(Failure) -> DNSResponse {
        do throws(Failure) {
            return try tryOnce(server, question, edns: true)
        } catch {
            guard case .withoutEDNS = error else { throw error }
            return try tryOnce(server, question, edns: false)
        }
    }

    private func tryOnce(_ server: NameServer, _ question: DNSQuestion, edns: Bool) throws(Failure) -> DNSResponse {
        // The kernel's random numbers: who guesses both this and the socket's port could answer in the server's place
        // (RFC 5452 §9.2).
        let id = UInt16.random(in: 0...UInt16.max)
        guard let query = DNSMessage.query(id: id, question, edns: edns) else { throw .text("is not asked: no name") }
        guard let place = server.place else { throw .text("is no numeric address") }
        let deadline = StopSignal.now + UInt64(settings.timeoutMs) * 1_000_000
        var response = try overUDP(place, query, question, id, deadline)
        if response.isTruncated {
            counters.truncated.add()
            response = try overTCP(place, query, question, id, deadline)
        }
        // FORMERR, NOTIMP and BADVERS are what a server says that cannot read the option (RFC 6891 §7).
        if edns, [1, 4, 16].contains(response.code) { throw .withoutEDNS }
        return response
    }

    private func overUDP(
        _ place: ResolvedAddress, _ query: [UInt8], _ question: DNSQuestion, _ id: UInt16, _ deadline: UInt64
    ) throws(Failure) -> DNSResponse {
        // A new socket, and so a new port that the kernel draws. Connected: it takes datagrams of that server alone.
        let socket = try makeSocket(place, SOCK_DGRAM)
        defer { close(socket) }
        guard connects(socket, to: place) else { throw .text("cannot be reached: \(Self.reason())") }
        counters.queries.add()
        guard send(socket, query, query.count, Int32(MSG_NOSIGNAL)) == query.count else {
            throw .text("cannot be reached: \(Self.reason())")
        }
        var buffer = [UInt8](repeating: 0, count: 65_535)
        while true {
            try wait(socket, POLLIN, deadline)
            let count = recv(socket, &buffer, buffer.count, 0)
            if count < 0 {
                if errno == EAGAIN || errno == EINTR { continue }
                throw .text("cannot be reached: \(Self.reason())")
            }
            // What is no answer to this question is not the server's: the answer may still come.
            guard let response = try? DNSMessage.response(Array(buffer[..<count])), response.isTo(question, id: id)
            else {
                counters.discarded.add()
                continue
            }
            return response
        }
    }

    /// Two bytes of length before each message (RFC 1035 §4.2.2, RFC 7766).
    private func overTCP(
        _ place: ResolvedAddress, _ query: [UInt8], _ question: DNSQuestion, _ id: UInt16, _ deadline: UInt64
    ) throws(Failure) -> DNSResponse {
        let socket = try makeSocket(place, SOCK_STREAM)
        defer { close(socket) }
        if !connects(socket, to: place) {
            guard errno == EINPROGRESS else { throw .text("cannot be reached over TCP: \(Self.reason())") }
            try wait(socket, POLLOUT, deadline)
            var status: Int32 = 0
            var size = socklen_t(MemoryLayout<Int32>.size)
            getsockopt(socket, SOL_SOCKET, SO_ERROR, &status, &size)
            if status != 0 { throw .text("cannot be reached over TCP: \(String(cString: strerror(status)))") }
        }
        counters.queries.add()
        var rest = [UInt8(query.count >> 8), UInt8(query.count & 255)] + query
        while !rest.isEmpty {
            try wait(socket, POLLOUT, deadline)
            let count = send(socket, rest, rest.count, Int32(MSG_NOSIGNAL))
            if count > 0 { rest.removeFirst(count) }
            if count < 0, errno != EAGAIN, errno != EINTR { throw .text("closed its connection: \(Self.reason())") }
        }
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 16_384)
        while bytes.count < 2 || bytes.count < 2 + (Int(bytes[0]) << 8 | Int(bytes[1])) {
            try wait(socket, POLLIN, deadline)
            let count = recv(socket, &piece, piece.count, 0)
            if count < 0, errno == EAGAIN || errno == EINTR { continue }
            guard count > 0 else { throw .text("closed its connection before the answer's end") }
            bytes += piece[..<count]
        }
        let size = Int(bytes[0]) << 8 | Int(bytes[1])
        guard let response = try? DNSMessage.response(Array(bytes[2..<2 + size])), response.isTo(question, id: id),
            !response.isTruncated
        else {
            counters.discarded.add()
            throw .text("gave no answer to the question over TCP")
        }
        return response
    }

    // MARK: Sockets

    private func makeSocket(_ place: ResolvedAddress, _ type: __socket_type) throws(Failure) -> Int32 {
        let kind = type.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue
        let socket = socket(place.family, Int32(kind), 0)
        guard socket >= 0 else { throw .text("is not asked: \(Self.reason())") }
        return socket
    }

    /// False: errno says why, or that it is under way.
    private func connects(_ socket: Int32, to place: ResolvedAddress) -> Bool {
        place.withPointer { connect(socket, $0, $1) == 0 }
    }

    private func wait(_ socket: Int32, _ events: Int32, _ deadline: UInt64) throws(Failure) {
        let now = StopSignal.now
        // Also where there is something to read: it may be junk without an end.
        if now < deadline {
            switch signal.wait(for: socket, events: events, milliseconds: Int((deadline - now + 999_999) / 1_000_000)) {
            case .ready: return
            case .timedOut: break
            case .stopped: throw .stopped
            }
        }
        counters.timeouts.add()
        throw .text("did not answer within \(settings.timeoutMs) ms")
    }

    private static func reason() -> String { String(cString: strerror(errno)) }
}

extension NameServer {
    /// As a socket takes it. Nil: the host is no numeric address. No resolver is asked.
    var place: ResolvedAddress? { ResolvedAddress.numeric(host: host, port: port).first }
}
