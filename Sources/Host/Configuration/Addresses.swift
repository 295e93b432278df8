import Glibc

/// Why a text is no address, as what follows the key's name. It never holds the text: an operator may have written a
/// password into it.
struct AddressError: Error, Equatable {
    let complaint: String
}

extension Settings.ListenAddress {
    static let expectation = "an address such as `0.0.0.0:8080`, `[::]:8080` or `unix:run/gateway.sock`"

    /// - Parameter text: `IPv4:port`, `[IPv6]:port` or `unix:path`; port 0 asks for a free one.
    static func parse(_ text: String) -> Result<Self, AddressError> {
        if let path = dropping("unix:", from: text) { return socketPath(path).map { .unix(path: $0) } }
        guard let (host, portText) = splitPort(text), let portText else {
            return .failure(AddressError(complaint: "takes \(expectation)"))
        }
        guard isNumericAddress(host) else {
            let advice =
                host.isEmpty ? "write `0.0.0.0:\(printable(portText))` for all of IPv4" : "names are not resolved here"
            return .failure(
                AddressError(complaint: "takes a numeric IPv4 address or `[IPv6]` before the port; \(advice)"))
        }
        guard let port = portNumber(portText) else {
            return .failure(AddressError(complaint: "takes a port from 0 to 65535 after the last colon"))
        }
        return .success(.tcp(host: host, port: port))
    }

    /// As a configuration would say it.
    public var text: String {
        switch self {
        case .tcp(let host, let port): host.utf8.contains(UInt8(ascii: ":")) ? "[\(host)]:\(port)" : "\(host):\(port)"
        case .unix(let path): "unix:\(path)"
        }
    }

    /// Whether both would take the same connections. SO_REUSEPORT would let the kernel bind them both and split the
    /// clients between them (socket(7)).
    func overlaps(_ other: Self) -> Bool {
        switch (self, other) {
        case (.unix(let path), .unix(let otherPath)): return path == otherPath
        case (.tcp(let host, let port), .tcp(let otherHost, let otherPort)):
            guard port == otherPort, port != 0 else { return false }
            let isVersion6 = host.utf8.contains(UInt8(ascii: ":"))
            guard isVersion6 == otherHost.utf8.contains(UInt8(ascii: ":")) else { return false }
            let wildcard = binaryAddress(isVersion6 ? "::" : "0.0.0.0")
            let (left, right) = (binaryAddress(host), binaryAddress(otherHost))
            return left == right || left == wildcard || right == wildcard
        default: return false
        }
    }
}

extension Settings.EndpointSettings {
    static let expectation =
        "an endpoint such as `http://127.0.0.1:8081`, `grpc://127.0.0.1:8001`, `https://model.example`, "
        + "`tcp://127.0.0.1:7000` or "
        + "`unix:run/model.sock`"

    /// What a schema for editors can say of it; `parse` is stricter about the host.
    static let pattern =
        "^(https?://([A-Za-z0-9._-]+|\\[[0-9A-Fa-f:.]+\\])(:[0-9]{1,5})?/?"
        + "|(grpcs?|tcp)://([A-Za-z0-9._-]+|\\[[0-9A-Fa-f:.]+\\]):[0-9]{1,5}/?|unix:[^\\u0000-\\u001f\\u007f]+)$"

    /// - Parameter text: `http://host[:port]` and `https://host[:port]`, port 80 or 443 when left out (RFC 9110,
    ///   section 4.2); `grpc://host:port`, which speaks HTTP/2 without TLS by prior knowledge; `grpcs://host:port`,
    ///   which speaks it over TLS; `tcp://host:port`, which speaks the messages of its version's `protocol`; or
    ///   `unix:path`, which speaks HTTP/1.1.
    static func parse(_ text: String) -> Result<Self, AddressError> {
        if let path = dropping("unix:", from: text) {
            return socketPath(path).map { Self(scheme: .http, target: .unix(path: $0), text: text) }
        }
        let scheme = [Scheme.grpcs, .grpc, .https, .tcp].first { text.hasPrefix($0.rawValue + "://") } ?? .http
        guard var rest = dropping(scheme.rawValue + "://", from: text) else {
            return .failure(AddressError(complaint: "takes \(expectation)"))
        }
        if rest.hasSuffix("/") { rest.removeLast() }
        guard !rest.utf8.contains(where: { "/?#@".utf8.contains($0) }) else {
            return .failure(
                AddressError(complaint: "takes host and port alone, without user, path or query; remove them"))
        }
        let isBare = !rest.hasPrefix("[") && !rest.utf8.contains(UInt8(ascii: ":")) || rest.hasSuffix("]")
        if isBare, scheme != .http, scheme != .https {
            let name = scheme == .tcp ? "raw TCP" : "gRPC"
            return .failure(AddressError(complaint: "takes a port after the host: \(name) has no port of its own"))
        }
        guard let (host, portText) = splitPort(isBare ? rest + (scheme == .https ? ":443" : ":80") : rest),
            let portText, isHost(host)
        else {
            return .failure(
                AddressError(complaint: "takes a host name, an IPv4 address or `[IPv6]` after `\(scheme.rawValue)://`"))
        }
        guard let port = portNumber(portText), port != 0 else {
            return .failure(AddressError(complaint: "takes a port from 1 to 65535 after the host"))
        }
        return .success(Self(scheme: scheme, target: .tcp(host: host, port: port), text: text))
    }
}

extension TextForm {
    static let listenAddress = TextForm(
        expectation: Settings.ListenAddress.expectation,
        pattern: "^([0-9.]+:[0-9]{1,5}|\\[[0-9A-Fa-f:.]+\\]:[0-9]{1,5}|unix:[^\\u0000-\\u001f\\u007f]+)$"
    ) { verdict(Settings.ListenAddress.parse($0)) }

    static let endpoint = TextForm(
        expectation: Settings.EndpointSettings.expectation, pattern: Settings.EndpointSettings.pattern
    ) { verdict(Settings.EndpointSettings.parse($0)) }

    /// An address without a port.
    static let numericHost = TextForm(
        expectation: "a numeric IPv4 or IPv6 address, such as `127.0.0.1` or `::1`", pattern: "^[0-9A-Fa-f:.]+$"
    ) { isNumericAddress($0) ? .fits : .misfits }

    private static func verdict<Value>(_ result: Result<Value, AddressError>) -> Verdict {
        switch result {
        case .success: .fits
        case .failure(let error): .because(error.complaint)
        }
    }
}

private func dropping(_ prefix: String, from text: String) -> String? {
    text.hasPrefix(prefix) ? String(text.dropFirst(prefix.count)) : nil
}

private func socketPath(_ path: String) -> Result<String, AddressError> {
    guard !path.isEmpty, !TextForm.hasControls(path) else {
        return .failure(AddressError(complaint: "takes a path after `unix:`"))
    }
    return .success(path)
}

/// `host:port` or `[v6]:port`, the brackets removed. Nil when it is neither.
private func splitPort(_ text: String) -> (host: String, port: String?)? {
    let bytes = Array(text.utf8)
    guard let colon = bytes.lastIndex(of: UInt8(ascii: ":")) else { return nil }
    var host = bytes[..<colon]
    if host.first == UInt8(ascii: "[") {
        guard host.last == UInt8(ascii: "]"), host.contains(UInt8(ascii: ":")) else { return nil }
        host = host.dropFirst().dropLast()
    } else if host.contains(UInt8(ascii: ":")) {
        return nil
    }
    return (String(decoding: host, as: UTF8.self), String(decoding: bytes[(colon + 1)...], as: UTF8.self))
}

private func portNumber(_ text: String) -> UInt16? {
    guard (1...5).contains(text.utf8.count), text.utf8.allSatisfy({ $0 &- 48 < 10 }) else { return nil }
    return UInt16(text)
}

/// A name of DNS (letters, digits, hyphens and, as in service names of clusters, underscores) or a numeric address. A
/// name whose last label is digits is an IPv4 address or nothing (WHATWG URL, "ends in a number").
func isHost(_ host: String) -> Bool {
    if isNumericAddress(host) { return true }
    guard (1...253).contains(host.utf8.count) else { return false }
    let labels = host.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
    guard let last = labels.last, !last.allSatisfy({ $0 &- 48 < 10 }) else { return false }
    return labels.allSatisfy { label in
        (1...63).contains(label.count) && label.allSatisfy { isAlphanumeric($0) || "-_".utf8.contains($0) }
            && label.first != UInt8(ascii: "-") && label.last != UInt8(ascii: "-")
    }
}

extension Settings.EndpointSettings.Target {
    /// As it is compared: the case of a host means nothing (RFC 9110 §4.2.3), and an address of IPv6 may be written in
    /// many ways (RFC 4291 §2.2).
    public var canonical: Self {
        switch self {
        case .tcp(let host, let port): .tcp(host: canonicalAddress(host) ?? host.lowercased(), port: port)
        case .unix: self
        }
    }
}

/// The one way to write a numeric address that inet_ntop(3) has; nil: it is none. One of IPv4 that is mapped into IPv6
/// leads where the former does (RFC 4291 §2.5.5.2).
private func canonicalAddress(_ host: String) -> String? {
    guard var bytes = binaryAddress(host) else { return nil }
    if bytes.count == 16, bytes.prefix(12) == [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF] { bytes.removeFirst(12) }
    var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
    guard inet_ntop(bytes.count == 4 ? AF_INET : AF_INET6, bytes, &text, socklen_t(text.count)) != nil else {
        return nil
    }
    return String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
}

func isNumericAddress(_ text: String) -> Bool { binaryAddress(text) != nil }

/// The 4 or 16 bytes of a numeric address.
private func binaryAddress(_ text: String) -> [UInt8]? {
    // inet_pton reads a C string: a NUL would hide what follows it.
    guard !text.utf8.contains(0), text.utf8.count < Int(INET6_ADDRSTRLEN) else { return nil }
    var bytes = [UInt8](repeating: 0, count: 16)
    if inet_pton(AF_INET, text, &bytes) == 1 { return Array(bytes.prefix(4)) }
    return inet_pton(AF_INET6, text, &bytes) == 1 ? bytes : nil
}
