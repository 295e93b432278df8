import Glibc

/// The address of a server, resolved.
struct SocketPlace: Sendable {
    enum Name: Equatable, Sendable {
        case tcp(host: String, port: String)
        case unix(path: String)

        /// `HOST:PORT`, `[IPv6]:PORT` or `unix:/PATH`.
        init?(_ text: String) {
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

    let family: Int32
    private let bytes: [UInt8]

    /// Nil when the name has no address. May block for as long as the resolver does.
    init?(_ name: Name) {
        switch name {
        case .unix(let path):
            var address = sockaddr_un()
            address.sun_family = sa_family_t(AF_UNIX)
            withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(path.utf8)) }
            family = AF_UNIX
            bytes = withUnsafeBytes(of: &address) { Array($0) }
        case .tcp(let host, let port):
            var hints = addrinfo()
            hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
            var list: UnsafeMutablePointer<addrinfo>?
            guard getaddrinfo(host, port, &hints, &list) == 0, let first = list else { return nil }
            defer { freeaddrinfo(list) }
            family = first.pointee.ai_family
            bytes = Array(UnsafeRawBufferPointer(start: first.pointee.ai_addr, count: Int(first.pointee.ai_addrlen)))
        }
    }

    func withPointer<Result>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
        var storage = sockaddr_storage()
        return withUnsafeMutableBytes(of: &storage) { memory in
            memory.copyBytes(from: bytes)
            let start = memory.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: sockaddr.self)
            return body(start, socklen_t(bytes.count))
        }
    }
}
