import Foundation

/// Ports of the loopback address for the tests' servers, no two alike in this process.
///
/// A port that the kernel chose and that was let go again may be chosen anew a moment later, by another server or by a
/// client's connection. So the ports given here lie below those that it chooses, and one is not given twice.
enum Ports {
    /// Where the kernel's own choice begins: the first number of `ip_local_port_range`.
    private static let kernels: UInt16 = {
        let range = try? String(contentsOfFile: "/proc/sys/net/ipv4/ip_local_port_range", encoding: .utf8)
        return range?.split(whereSeparator: \.isWhitespace).first.flatMap { UInt16($0) } ?? 32_768
    }()

    /// What may be given; above the ports of services that a machine may run already.
    private static let given: Range<UInt16> = {
        let lowest: UInt16 = kernels > 20_000 ? 12_000 : 1_024
        return lowest..<max(kernels, lowest + 1_000)
    }()

    private static let next = Next()

    private final class Next: @unchecked Sendable {
        private var place = Int.random(in: 0..<given.count)
        private var lock = pthread_mutex_t()

        init() { pthread_mutex_init(&lock, nil) }

        /// Another run of the tests may begin beside this one, hence the place at random to begin with.
        func callAsFunction() -> UInt16 {
            pthread_mutex_lock(&lock)
            defer { pthread_mutex_unlock(&lock) }
            place = (place + 1) % given.count
            return given.lowerBound + UInt16(place)
        }
    }

    /// A port that nobody listens on, for a server that is started with its number.
    static func free() throws -> UInt16 {
        let (socket, port) = try bound(reusing: true)
        socket.close()
        return port
    }

    /// A port that refuses every connection, for as long as this process lives: it is taken, and not listened on.
    static func refusing() throws -> UInt16 {
        let (socket, port) = try bound(reusing: false)
        // Never closed.
        _ = Unmanaged.passRetained(socket)
        return port
    }

    private static func bound(reusing: Bool) throws -> (Socket, port: UInt16) {
        for _ in 0..<given.count {
            let port = next()
            if let socket = Socket.bind(port: port, reusing: reusing) { return (socket, port) }
        }
        throw HarnessError("no port from \(given.lowerBound) on is free")
    }
}
