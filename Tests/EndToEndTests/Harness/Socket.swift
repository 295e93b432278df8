import Foundation

/// A blocking socket whose every operation has a deadline.
final class Socket: @unchecked Sendable {
    private(set) var descriptor: Int32
    /// One thread may wake another that waits on the socket, and that one may close it meanwhile. Of the C library,
    /// since ThreadSanitizer sees nothing of Swift's own.
    private var ending = pthread_mutex_t()

    init(adopting descriptor: Int32) {
        self.descriptor = descriptor
        pthread_mutex_init(&ending, nil)
        closeOnExec(descriptor)
    }

    deinit { close() }

    /// Connects to a port of the loopback address.
    static func connect(port: UInt16, receiveBuffer: Int32? = nil) throws -> Socket {
        let socket = Socket(adopting: Foundation.socket(AF_INET, streamType, 0))
        var one: Int32 = 1
        setsockopt(socket.descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &one, 4)
        // A small receive buffer lets the peer feel a slow reader soon.
        if var size = receiveBuffer { setsockopt(socket.descriptor, SOL_SOCKET, SO_RCVBUF, &size, 4) }
        var address = loopback(port: port)
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Foundation.connect(socket.descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard result == 0 else { throw HarnessError("connect to \(port): errno \(errno)") }
        return socket
    }

    static func connect(path: String) throws -> Socket {
        let socket = Socket(adopting: Foundation.socket(AF_UNIX, streamType, 0))
        var address = try unixAddress(path)
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Foundation.connect(socket.descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard result == 0 else { throw HarnessError("connect to \(path): errno \(errno)") }
        return socket
    }

    /// A socket that has a port of the loopback address and does not listen; nil if the port is taken. With `reusing`,
    /// connections that were closed a moment ago do not keep it taken.
    static func bind(port: UInt16, reusing: Bool) -> Socket? {
        let socket = Socket(adopting: Foundation.socket(AF_INET, streamType, 0))
        var one: Int32 = reusing ? 1 : 0
        setsockopt(socket.descriptor, SOL_SOCKET, SO_REUSEADDR, &one, 4)
        var address = loopback(port: port)
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Foundation.bind(socket.descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        return result == 0 ? socket : nil
    }

    /// Listens on a free port of the loopback address, or on `port`.
    static func listen(port: UInt16? = nil, backlog: Int32 = 128) throws -> (Socket, port: UInt16) {
        let port = try port ?? Ports.free()
        guard let socket = bind(port: port, reusing: true), Foundation.listen(socket.descriptor, backlog) == 0 else {
            throw HarnessError("listen on \(port): errno \(errno)")
        }
        return (socket, port)
    }

    static func listen(path: String, backlog: Int32 = 128) throws -> Socket {
        let socket = Socket(adopting: Foundation.socket(AF_UNIX, streamType, 0))
        var address = try unixAddress(path)
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { (pointer) -> Int32 in
                if Foundation.bind(socket.descriptor, pointer, socklen_t(MemoryLayout<sockaddr_un>.size)) != 0 {
                    return -1
                }
                return Foundation.listen(socket.descriptor, backlog)
            }
        }
        guard result == 0 else { throw HarnessError("listen on \(path): errno \(errno)") }
        return socket
    }

    /// The next connection, or nil when the deadline passed or the listener was closed.
    func accept(_ deadline: Deadline) -> Socket? {
        guard ready(Int16(POLLIN), deadline) else { return nil }
        let accepted = Foundation.accept(descriptor, nil, nil)
        guard accepted >= 0 else { return nil }
        var one: Int32 = 1
        setsockopt(accepted, Int32(IPPROTO_TCP), TCP_NODELAY, &one, 4)
        return Socket(adopting: accepted)
    }

    /// Sends everything. False when the peer closed or the deadline passed.
    @discardableResult
    func send(_ data: [UInt8], _ deadline: Deadline = .ordinary) -> Bool {
        var sent = 0
        while sent < data.count {
            guard ready(Int16(POLLOUT), deadline) else { return false }
            let count = data.withUnsafeBytes {
                Foundation.send(
                    descriptor, $0.baseAddress! + sent, data.count - sent,
                    Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
            }
            if count < 0 {
                if errno == EAGAIN || errno == EINTR { continue }
                return false
            }
            sent += count
        }
        return true
    }

    @discardableResult
    func send(_ message: String, _ deadline: Deadline = .ordinary) -> Bool { send(bytes(message), deadline) }

    enum Received {
        case data([UInt8])
        case end
        case reset
        case late
    }

    func receive(_ deadline: Deadline, limit: Int = 65_536) -> Received {
        guard ready(Int16(POLLIN), deadline) else { return .late }
        var buffer = [UInt8](repeating: 0, count: limit)
        let count = recv(descriptor, &buffer, limit, 0)
        if count == 0 { return .end }
        if count < 0 { return .reset }
        return .data(Array(buffer[..<count]))
    }

    func close() {
        pthread_mutex_lock(&ending)
        if descriptor >= 0 { Foundation.close(descriptor) }
        descriptor = -1
        pthread_mutex_unlock(&ending)
    }

    /// Says that nothing more will be sent.
    func shutdownSending() { shutdown(descriptor, Int32(SHUT_WR)) }

    /// Wakes whoever waits on this socket, without giving its number away.
    func shutdownBoth() {
        pthread_mutex_lock(&ending)
        // Else the number may be another socket's already.
        if descriptor >= 0 { shutdown(descriptor, Int32(SHUT_RDWR)) }
        pthread_mutex_unlock(&ending)
    }

    /// Closes with a reset in place of a regular end.
    func reset() {
        var option = linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
        close()
    }

    /// Whether the peer's end (or a reset) comes before the deadline; bytes before it are dropped.
    func closedByPeer(_ deadline: Deadline = .ordinary) -> Bool {
        while true {
            switch receive(deadline) {
            case .data: continue
            case .end, .reset: return true
            case .late: return false
            }
        }
    }

    private func ready(_ events: Int16, _ deadline: Deadline) -> Bool {
        while descriptor >= 0 {
            var entry = pollfd(fd: descriptor, events: events, revents: 0)
            let result = poll(&entry, 1, deadline.milliseconds)
            if result > 0 { return true }
            if result == 0 || errno != EINTR { return false }
        }
        return false
    }

    private static let streamType = Int32(SOCK_STREAM.rawValue)

    private static func loopback(port: UInt16) -> sockaddr_in {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        return address
    }

    private static func unixAddress(_ path: String) throws -> sockaddr_un {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let data = bytes(path)
        try withUnsafeMutableBytes(of: &address.sun_path) { target in
            guard data.count < target.count else { throw HarnessError("path too long: \(path)") }
            target.copyBytes(from: data)
        }
        return address
    }
}
