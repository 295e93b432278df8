/// Where the metrics of an endpoint are.
struct ScrapeTarget: Sendable {
    enum Place: Equatable, Sendable {
        case tcp(host: String, port: UInt16)
        case unix(path: String)
        /// Why there is none.
        case none(String)
    }

    /// Of the endpoint.
    let id: UInt64
    let address: String
    /// In the pool's table of reports.
    let slot: Int
    let place: Place

    /// - Parameters:
    ///   - address: as the configuration has it: `http://host:port`, `[IPv6]`, `unix:path`.
    ///   - port: in place of the address's own.
    static func place(of address: String, port: UInt16?) -> Place {
        if address.hasPrefix("unix:") { return .unix(path: String(address.dropFirst(5))) }
        guard let mark = address.firstRange(of: "://") else { return .none("its address has no scheme") }
        let scheme = address[..<mark.lowerBound]
        var rest = address[mark.upperBound...]
        if rest.hasSuffix("/") { rest = rest.dropLast() }
        var host = rest
        var own: UInt16?
        if let colon = rest.lastIndex(of: ":"), !rest[colon...].contains("]") {
            host = rest[..<colon]
            own = UInt16(rest[rest.index(after: colon)...])
        }
        if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
        if let port { return .tcp(host: String(host), port: port) }
        guard scheme == "http" else {
            return .none("pages are fetched in plain HTTP; set 'scrape.port' to where it is spoken")
        }
        return .tcp(host: String(host), port: own ?? 80)
    }

    /// For the Host field.
    var authority: String {
        switch place {
        case .tcp(let host, let port): host.utf8.contains(UInt8(ascii: ":")) ? "[\(host)]:\(port)" : "\(host):\(port)"
        case .unix, .none: "localhost"
        }
    }
}

extension String {
    /// Where `text` stands first.
    fileprivate func firstRange(of text: String) -> Range<String.Index>? {
        var start = startIndex
        while start < endIndex {
            if self[start...].hasPrefix(text) { return start..<index(start, offsetBy: text.count) }
            start = index(after: start)
        }
        return nil
    }
}
