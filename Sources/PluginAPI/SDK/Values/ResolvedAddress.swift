import Glibc

/// An address as a socket takes it.
public struct ResolvedAddress: Sendable, Hashable {
    private let bytes: [UInt8]

    /// Addresses of one name that are kept: more are hardly ever tried before time is up.
    private static let atMost = 8

    public var family: Int32 { withPointer { address, _ in Int32(address.pointee.sa_family) } }

    private init(_ bytes: UnsafeRawBufferPointer) { self.bytes = Array(bytes) }

    /// Of a Unix socket. Nil: the path is longer than an address may hold.
    public init?(unixPath path: String) {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        guard path.utf8.count < MemoryLayout.size(ofValue: address.sun_path) else { return nil }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        bytes = withUnsafeBytes(of: &address) { Array($0) }
    }

    /// Those of a host that is a numeric address; empty: it is none. Asks nobody.
    public static func numeric(host: String, port: UInt16) -> [ResolvedAddress] {
        found(host: host, port: port, flags: AI_NUMERICSERV | AI_NUMERICHOST)
    }

    /// Asks the system's resolver, which may take half a minute, and cannot be broken off. Empty: the host is not
    /// known. `NameLookups` does so on a thread of its own.
    public static func resolved(host: String, port: UInt16) -> [ResolvedAddress] {
        found(host: host, port: port, flags: AI_NUMERICSERV)
    }

    private static func found(host: String, port: UInt16, flags: Int32) -> [ResolvedAddress] {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_flags = flags
        var list: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(host, String(port), &hints, &list) == 0 else { return [] }
        defer { freeaddrinfo(list) }
        var found: [ResolvedAddress] = []
        var next = list
        while let entry = next, found.count < atMost {
            next = entry.pointee.ai_next
            let size = Int(entry.pointee.ai_addrlen)
            guard let address = entry.pointee.ai_addr, size <= MemoryLayout<sockaddr_storage>.size else { continue }
            found.append(ResolvedAddress(UnsafeRawBufferPointer(start: address, count: size)))
        }
        return found
    }

    /// For `connect`: the address and its size, which live until `body` returns.
    public func withPointer<Result>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
        var storage = sockaddr_storage()
        return withUnsafeMutableBytes(of: &storage) { memory in
            memory.copyBytes(from: bytes)
            let start = memory.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: sockaddr.self)
            return body(start, socklen_t(bytes.count))
        }
    }

    // MARK: Connecting

    /// Why no connection has come about.
    public enum ConnectFailure: Error {
        /// For the operator.
        case text(String)
        case stopped
    }

    /// A socket that does not block, connected to the first of `places` that takes it: a name may have an address at
    /// which the server does not listen, as `localhost` has one of IPv6. Each is given an even share of the time that
    /// is left, so that one that is silent leaves some to the others. The descriptor is the caller's. For a thread that
    /// may wait.
    /// - Parameter deadline: of the monotonic clock, in nanoseconds.
    public static func connect(
        toFirstOf places: [ResolvedAddress], _ signal: StopSignal, deadline: UInt64
    ) throws(ConnectFailure) -> Int32 {
        var reason = "its name is not known"
        for (index, place) in places.enumerated() {
            let now = StopSignal.now
            let share = (deadline - min(deadline, now)) / UInt64(places.count - index)
            do throws(ConnectFailure) {
                return try place.connected(signal, deadline: now + share)
            } catch {
                guard case .text(let text) = error else { throw error }
                reason = text
            }
        }
        throw .text(reason)
    }

    private func connected(_ signal: StopSignal, deadline: UInt64) throws(ConnectFailure) -> Int32 {
        let kind = SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue
        let socket = socket(family, Int32(kind), 0)
        guard socket >= 0 else { throw .text("no socket: \(String(cString: strerror(errno)))") }
        var code = withPointer { Glibc.connect(socket, $0, $1) } == 0 ? 0 : errno
        // A Unix socket whose queue is full says EAGAIN, and does not tell when it has room.
        if code == EINPROGRESS {
            let left = deadline - min(deadline, StopSignal.now)
            switch signal.wait(for: socket, events: POLLOUT, milliseconds: Int((left + 999_999) / 1_000_000)) {
            case .ready:
                var size = socklen_t(MemoryLayout<Int32>.size)
                getsockopt(socket, SOL_SOCKET, SO_ERROR, &code, &size)
            case .timedOut:
                close(socket)
                throw .text("it does not take connections in time")
            case .stopped:
                close(socket)
                throw .stopped
            }
        }
        if code == 0 { return socket }
        close(socket)
        throw .text("cannot connect: \(String(cString: strerror(code)))")
    }
}
