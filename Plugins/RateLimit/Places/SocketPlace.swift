import Glibc

/// An address of a server, resolved.
public struct SocketPlace: Sendable {
    public enum Name: Equatable, Sendable {
        case tcp(host: String, port: String)
        case unix(path: String)

        /// `HOST:PORT`, `[IPv6]:PORT` or `unix:/PATH`.
        public init?(_ text: String) {
            if text.hasPrefix("unix:") {
                let path = String(text.dropFirst(5))
                guard path.hasPrefix("/"), path.utf8.count < MemoryLayout.size(ofValue: sockaddr_un().sun_path) else {
                    return nil
                }
                self = .unix(path: path)
                return
            }
            guard let colon = text.lastIndex(of: ":") else { return nil }
            var host = text[..<colon]
            let port = text[text.index(after: colon)...]
            guard let number = UInt16(port), number > 0 else { return nil }
            if host.hasPrefix("["), host.hasSuffix("]") {
                host = host.dropFirst().dropLast()
            } else if host.contains(":") {
                return nil
            }
            guard !host.isEmpty, host.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != 0x2F }) else { return nil }
            self = .tcp(host: String(host), port: "\(number)")
        }
    }

    public struct Failure: Error {
        /// For the operator.
        public let text: String
    }

    /// A name with more addresses than that is no store of a fleet.
    private static let addressesAtMost = 8

    private let family: Int32
    private let bytes: [UInt8]

    /// All addresses of a name, in the resolver's order; none when there are none. May block for as long as the
    /// resolver does.
    public static func all(of name: Name) -> [SocketPlace] {
        switch name {
        case .unix(let path):
            var address = sockaddr_un()
            address.sun_family = sa_family_t(AF_UNIX)
            withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(path.utf8)) }
            return [SocketPlace(family: AF_UNIX, bytes: withUnsafeBytes(of: &address) { Array($0) })]
        case .tcp(let host, let port):
            var hints = addrinfo()
            hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
            var list: UnsafeMutablePointer<addrinfo>?
            guard getaddrinfo(host, port, &hints, &list) == 0 else { return [] }
            defer { freeaddrinfo(list) }
            var found: [SocketPlace] = []
            var next = list
            while let entry = next, found.count < addressesAtMost {
                next = entry.pointee.ai_next
                let bytes = UnsafeRawBufferPointer(start: entry.pointee.ai_addr, count: Int(entry.pointee.ai_addrlen))
                found.append(SocketPlace(family: entry.pointee.ai_family, bytes: Array(bytes)))
            }
            return found
        }
    }

    /// A socket that does not block, connected to the first of `places` that takes it: a name may have an address at
    /// which the server does not listen, as `localhost` has one of IPv6. Each is given an even share of the time that
    /// is left, so that one that is silent leaves some to the others. The descriptor is the caller's.
    public static func connect(_ places: [SocketPlace], milliseconds: Int) throws(Failure) -> Int32 {
        let deadline = now + Int64(milliseconds)
        var problem = "its name has no address"
        for (index, place) in places.enumerated() {
            let begin = now
            let share = max(deadline - begin, 0) / Int64(places.count - index)
            do throws(Failure) { return try place.connected(until: begin + share) } catch { problem = error.text }
        }
        throw Failure(text: problem)
    }

    private func connected(until deadline: Int64) throws(Failure) -> Int32 {
        let kind = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        let descriptor = socket(family, kind, 0)
        guard descriptor >= 0 else { throw Failure(text: "no socket: \(String(cString: strerror(errno)))") }
        var code: Int32 = 0
        if withPointer({ Glibc.connect(descriptor, $0, $1) }) != 0 {
            code = errno
            // A Unix socket whose queue is full says EAGAIN, and does not tell when it has room.
            if code == EINPROGRESS {
                guard Self.wait(descriptor, POLLOUT, until: deadline) else {
                    close(descriptor)
                    throw Failure(text: "it does not answer")
                }
                var size = socklen_t(MemoryLayout<Int32>.size)
                getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &size)
            }
        }
        if code == 0 { return descriptor }
        close(descriptor)
        throw Failure(text: "cannot connect: \(String(cString: strerror(code)))")
    }

    private func withPointer<Result>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
        var storage = sockaddr_storage()
        return withUnsafeMutableBytes(of: &storage) { memory in
            memory.copyBytes(from: bytes)
            let start = memory.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: sockaddr.self)
            return body(start, socklen_t(bytes.count))
        }
    }

    /// False when none of the events has come by then.
    public static func wait(_ descriptor: Int32, _ events: Int32, until deadline: Int64) -> Bool {
        while true {
            let left = deadline - now
            guard left > 0 else { return false }
            var watched = pollfd(fd: descriptor, events: Int16(events), revents: 0)
            if poll(&watched, 1, Int32(clamping: left)) > 0 { return true }
        }
    }

    /// Milliseconds of the monotonic clock.
    public static var now: Int64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Int64(time.tv_sec) * 1_000 + Int64(time.tv_nsec) / 1_000_000
    }
}
