import Glibc

/// Opens the sockets of the control side. All of them close on exec and never block.
enum AdminSocket {
    /// Connections that wait to be accepted. More than the 16 that are served at once would only wait.
    static let backlog: Int32 = 16

    /// A Unix socket that only its owner can open. What a process that died left at `path` is taken away; a socket
    /// at which somebody answers is not.
    static func listen(path: String) throws(AdminError) -> Int32 {
        var address = try unixAddress(path)
        if let slash = path.lastIndex(of: "/"), slash != path.startIndex {
            // `run/sluice.sock` in a fresh directory; only the last one, since a longer path is rather a mistake.
            if mkdir(String(path[..<slash]), 0o755) != 0, errno != EEXIST {
                throw AdminError("admin socket \(path): cannot make its directory: \(reason())")
            }
        }
        let descriptor = try open(AF_UNIX)
        do throws(AdminError) {
            // The kernel gives the file the mode of the socket, less the umask: it never exists with a wider one.
            guard fchmod(descriptor, 0o600) == 0 else { throw AdminError("admin socket \(path): \(reason())") }
            if !bind(descriptor, &address) {
                guard errno == EADDRINUSE else { throw AdminError("admin socket \(path): \(reason())") }
                try removeStale(path)
                guard bind(descriptor, &address) else { throw AdminError("admin socket \(path): \(reason())") }
            }
            guard Glibc.listen(descriptor, backlog) == 0 else { throw AdminError("admin socket \(path): \(reason())") }
        } catch {
            close(descriptor)
            throw error
        }
        return descriptor
    }

    private static func isSocket(_ path: String) -> Bool {
        var information = stat()
        return stat(path, &information) == 0 && information.st_mode & S_IFMT == S_IFSOCK
    }

    private static func removeStale(_ path: String) throws(AdminError) {
        var information = stat()
        guard lstat(path, &information) == 0 else { return }
        guard information.st_mode & S_IFMT == S_IFSOCK else {
            throw AdminError("admin socket \(path): there is a file of that name that is no socket; move it away")
        }
        do throws(AdminError) {
            close(try connect(path: path))
        } catch {
            guard error.code == ECONNREFUSED else { throw error }
            if unlink(path) != 0, errno != ENOENT { throw AdminError("admin socket \(path): \(reason())") }
            return
        }
        throw AdminError(
            "admin socket \(path): a running gateway answers there; stop it, or give this one another admin.socket")
    }

    /// A connection to a Unix socket. It is made at once or not at all.
    static func connect(path: String) throws(AdminError) -> Int32 {
        var address = try unixAddress(path)
        let descriptor = try open(AF_UNIX)
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        if result == 0 { return descriptor }
        let error = errno
        close(descriptor)
        let hint =
            switch error {
            case ENOENT: "no gateway runs with this admin.socket; one that does with another is found by --socket"
            case ECONNREFUSED where !isSocket(path): "this is no socket; `admin.socket` of the configuration names it"
            case ECONNREFUSED: "the gateway that made it is gone"
            case EAGAIN: "too many others wait for it; try again"
            case EACCES: "it belongs to another user"
            default: String(cString: strerror(error))
            }
        throw AdminError("\(path): \(hint)", code: error)
    }

    /// A TCP listener on a numeric address.
    /// - Returns: the descriptor, and the port that the kernel chose for 0.
    static func listen(host: String, port: UInt16) throws(AdminError) -> (descriptor: Int32, port: UInt16) {
        var hints = addrinfo()
        hints.ai_flags = AI_NUMERICHOST | AI_PASSIVE | AI_NUMERICSERV
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        let place = host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
        guard getaddrinfo(host, String(port), &hints, &list) == 0, let found = list else {
            throw AdminError("metrics listener \(place): not a numeric address")
        }
        defer { freeaddrinfo(list) }
        let descriptor = try open(found.pointee.ai_family)
        var on: Int32 = 1
        let size = socklen_t(MemoryLayout<Int32>.size)
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, size)
        // As the gateway's other listeners: `::` is all addresses of IPv6, and `0.0.0.0` those of IPv4.
        if found.pointee.ai_family == AF_INET6 {
            setsockopt(descriptor, Int32(IPPROTO_IPV6), IPV6_V6ONLY, &on, size)
        }
        guard
            Glibc.bind(descriptor, found.pointee.ai_addr, found.pointee.ai_addrlen) == 0,
            Glibc.listen(descriptor, backlog) == 0
        else {
            let code = errno
            let error = AdminError("metrics listener \(place): \(reason())", code: code)
            close(descriptor)
            throw error
        }
        var bound = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let known = withUnsafeMutablePointer(to: &bound) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &length) }
        }
        guard known == 0 else {
            let error = AdminError("metrics listener \(place): \(reason())")
            close(descriptor)
            throw error
        }
        // The port stands at the same place in sockaddr_in and sockaddr_in6.
        let bigEndian = withUnsafeBytes(of: &bound) { $0.loadUnaligned(fromByteOffset: 2, as: UInt16.self) }
        return (descriptor, UInt16(bigEndian: bigEndian))
    }

    private static func open(_ family: Int32) throws(AdminError) -> Int32 {
        let descriptor = socket(family, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { throw AdminError("cannot make a socket: \(reason())") }
        makeNonblocking(descriptor)
        return descriptor
    }

    static func makeNonblocking(_ descriptor: Int32) {
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK)
    }

    private static func bind(_ descriptor: Int32, _ address: inout sockaddr_un) -> Bool {
        withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        } == 0
    }

    private static func unixAddress(_ path: String) throws(AdminError) -> sockaddr_un {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let capacity = MemoryLayout.size(ofValue: address.sun_path)
        guard !path.isEmpty, path.utf8.count < capacity, !path.utf8.contains(0) else {
            throw AdminError("admin socket \(path): a path of 1 to \(capacity - 1) bytes is needed (unix(7))")
        }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        return address
    }

    private static func reason() -> String { String(cString: strerror(errno)) }
}
