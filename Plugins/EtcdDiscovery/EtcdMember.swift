/// A member of the cluster: where its clients connect.
struct EtcdMember: Sendable, Hashable {
    var host: String
    var port: UInt16
    var isTLS: Bool

    /// `http://host:port` or `https://host:port`; the port may be left out, and is 2379 then. Nil: it is none.
    init?(_ text: String) {
        var rest = Substring(text)
        if rest.hasPrefix("http://") {
            isTLS = false
            rest = rest.dropFirst(7)
        } else if rest.hasPrefix("https://") {
            isTLS = true
            rest = rest.dropFirst(8)
        } else {
            return nil
        }
        if rest.hasSuffix("/") { rest = rest.dropLast() }
        var place = rest
        if rest.first == "[" {
            guard let end = rest.firstIndex(of: "]") else { return nil }
            place = rest[rest.index(after: rest.startIndex)..<end]
            rest = rest[rest.index(after: end)...]
            guard rest.isEmpty || rest.first == ":" else { return nil }
        } else {
            place = rest.prefix { $0 != ":" }
            rest = rest[place.endIndex...]
        }
        let allowed = place.utf8.allSatisfy {
            $0 > 32 && $0 < 127 && $0 != UInt8(ascii: "/") && $0 != UInt8(ascii: "@")
        }
        guard !place.isEmpty, allowed else { return nil }
        host = String(place)
        port = 2_379
        if !rest.isEmpty {
            guard let number = UInt16(rest.dropFirst()), number > 0 else { return nil }
            port = number
        }
    }

    /// For logs and the Host field.
    var authority: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}
