import CLinux
import Glibc

/// A socket address as the kernel takes it.
struct SocketAddress {
    var storage = sockaddr_storage()
    var length = socklen_t(0)

    var family: Int32 { Int32(storage.ss_family) }

    /// A numeric IPv4 or IPv6 address.
    static func numeric(host: String, port: UInt16) -> SocketAddress? {
        var address = SocketAddress()
        var four = in_addr()
        var six = in6_addr()
        if inet_pton(AF_INET, host, &four) == 1 {
            var value = sockaddr_in()
            value.sin_family = sa_family_t(AF_INET)
            value.sin_port = port.bigEndian
            value.sin_addr = four
            withUnsafeMutableBytes(of: &address.storage) { $0.storeBytes(of: value, as: sockaddr_in.self) }
            address.length = socklen_t(MemoryLayout<sockaddr_in>.size)
        } else if inet_pton(AF_INET6, host, &six) == 1 {
            var value = sockaddr_in6()
            value.sin6_family = sa_family_t(AF_INET6)
            value.sin6_port = port.bigEndian
            value.sin6_addr = six
            withUnsafeMutableBytes(of: &address.storage) { $0.storeBytes(of: value, as: sockaddr_in6.self) }
            address.length = socklen_t(MemoryLayout<sockaddr_in6>.size)
        } else {
            return nil
        }
        return address
    }

    /// Why a name has no address.
    enum LookUpFailure: Error, Equatable {
        /// There is no such name, or it has no address.
        case unknown
        /// The name servers do not answer, or cannot at present (EAI_AGAIN).
        case noAnswer
        /// The resolver's own words for what else went wrong.
        case other(String)
    }

    /// The first address of a name, by the system's resolver; it may block for half a minute. [any]
    static func resolve(host: String, port: UInt16) -> SocketAddress? { try? lookUp(host: host, port: port).get() }

    /// The same, with the reason of a failure. [any]
    static func lookUp(host: String, port: UInt16) -> Result<SocketAddress, LookUpFailure> {
        if let numeric = numeric(host: host, port: port) { return .success(numeric) }
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(host, String(port), &hints, &list)
        guard code == 0, let first = list else {
            switch code {
            // EAI_NODATA, of glibc: the name is there and has no address.
            case EAI_NONAME, -5, 0: return .failure(.unknown)
            case EAI_AGAIN: return .failure(.noAnswer)
            default: return .failure(.other(gai_strerror(code).map { String(cString: $0) } ?? "error \(code)"))
            }
        }
        defer { freeaddrinfo(first) }
        var address = SocketAddress()
        guard let source = first.pointee.ai_addr else { return .failure(.unknown) }
        withUnsafeMutableBytes(of: &address.storage) {
            $0.copyMemory(from: UnsafeRawBufferPointer(start: source, count: Int(first.pointee.ai_addrlen)))
        }
        address.length = first.pointee.ai_addrlen
        return .success(address)
    }

    /// A path, or an abstract name that begins with NUL; nil when it is too long for the kernel.
    static func unix(_ path: String) -> SocketAddress? {
        var value = sockaddr_un()
        let bytes = Array(path.utf8)
        let room = MemoryLayout.size(ofValue: value.sun_path)
        guard !bytes.isEmpty, bytes.count < room else { return nil }
        value.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &value.sun_path) { $0.copyBytes(from: bytes) }
        var address = SocketAddress()
        withUnsafeMutableBytes(of: &address.storage) { $0.storeBytes(of: value, as: sockaddr_un.self) }
        let abstract = bytes[0] == 0
        let offset = MemoryLayout<sockaddr_un>.size - room
        address.length = socklen_t(offset + bytes.count + (abstract ? 0 : 1))
        return address
    }

    func withPointer<Result>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
        withUnsafePointer(to: storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, length) }
        }
    }

    /// The port in host order; 0 for a Unix socket.
    var port: UInt16 {
        withUnsafeBytes(of: storage) {
            family == AF_UNIX ? 0 : UInt16(bigEndian: $0.loadUnaligned(fromByteOffset: 2, as: UInt16.self))
        }
    }

    /// Writes the address as text, at most 64 bytes; returns their number.
    func write(to text: UnsafeMutablePointer<UInt8>) -> Int {
        guard family != AF_UNIX else {
            text.update(from: [UInt8]("unix".utf8), count: 4)
            return 4
        }
        var length = 0
        withUnsafeBytes(of: storage) { bytes in
            text.withMemoryRebound(to: CChar.self, capacity: 64) { characters in
                let offset = family == AF_INET6 ? 8 : 4
                if family == AF_INET6 {
                    characters[0] = 0x5B
                    length = 1
                }
                _ = inet_ntop(family, bytes.baseAddress.unsafelyUnwrapped + offset, characters + length, 46)
                length = strlen(characters)
                if family == AF_INET6 {
                    characters[length] = 0x5D
                    length += 1
                }
            }
        }
        text[length] = 0x3A
        length += 1
        var port = port
        var digits = 1
        var scale: UInt16 = 1
        while port / scale >= 10 {
            scale *= 10
            digits += 1
        }
        for _ in 0..<digits {
            text[length] = UInt8(0x30 + port / scale)
            port %= scale
            scale = max(scale / 10, 1)
            length += 1
        }
        return length
    }
}

/// Sends no SIGPIPE, never blocks. The number of bytes taken, 0 when the socket is full, -1 when it is broken.
@inline(__always)
func sendBytes(_ descriptor: Int32, _ bytes: UnsafeRawPointer, _ count: Int) -> Int {
    while true {
        let sent = clinux_send(descriptor, bytes, count, Int32(MSG_NOSIGNAL))
        if sent >= 0 { return sent }
        if sent == -Int(EINTR) { continue }
        return sent == -Int(EAGAIN) ? 0 : -1
    }
}

/// The same for up to `IOV_MAX` pieces.
func sendPieces(_ descriptor: Int32, _ pieces: UnsafeMutablePointer<iovec>, _ count: Int) -> Int {
    var header = msghdr()
    header.msg_iov = pieces
    header.msg_iovlen = count
    while true {
        let sent = clinux_sendmsg(descriptor, &header, Int32(MSG_NOSIGNAL))
        if sent >= 0 { return sent }
        if sent == -Int(EINTR) { continue }
        return sent == -Int(EAGAIN) ? 0 : -1
    }
}

/// What a read found.
enum Received: Equatable {
    case bytes(Int)
    /// Nothing more at present.
    case drained
    case endOfStream
    case broken
}

@inline(__always)
func receiveBytes(_ descriptor: Int32, _ bytes: UnsafeMutableRawPointer, _ count: Int) -> Received {
    while true {
        let received = clinux_recv(descriptor, bytes, count, 0)
        if received > 0 { return .bytes(received) }
        if received == 0 { return .endOfStream }
        if received == -Int(EINTR) { continue }
        return received == -Int(EAGAIN) ? .drained : .broken
    }
}
