/// Where to ask: a numeric address, which may have a zone (`fe80::1%eth0`), and a port.
public struct NameServer: Sendable, Hashable {
    public var host: String
    public var port: UInt16

    public init(host: String, port: UInt16 = 53) {
        self.host = host
        self.port = port
    }

    /// `address`, `address:port`, `[address]` or `[address]:port`. Nil: it is none. Whether the address is one shows
    /// when a socket's address is made of it.
    public init?(_ text: String) {
        var rest = Substring(text)
        var host = rest
        if rest.first == "[" {
            guard let end = rest.firstIndex(of: "]") else { return nil }
            host = rest[rest.index(after: rest.startIndex)..<end]
            rest = rest[rest.index(after: end)...]
            guard rest.isEmpty || rest.first == ":" else { return nil }
        } else if rest.filter({ $0 == ":" }).count == 1, let colon = rest.firstIndex(of: ":") {
            host = rest[..<colon]
            rest = rest[colon...]
        } else {
            rest = ""
        }
        guard !host.isEmpty else { return nil }
        self.init(host: String(host))
        if !rest.isEmpty {
            guard let port = UInt16(rest.dropFirst()), port > 0 else { return nil }
            self.port = port
        }
    }

    public var text: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }

    /// The servers of a resolv.conf(5): at most three as there, and the one of this machine when it names none.
    public static func listed(in resolvConf: String) -> [NameServer] {
        var found: [NameServer] = []
        for line in resolvConf.split(whereSeparator: \.isNewline) {
            let words = line.split { $0 == " " || $0 == "\t" }
            guard words.count >= 2, words[0] == "nameserver", found.count < 3 else { continue }
            let server = NameServer(host: String(words[1]))
            if !found.contains(server) { found.append(server) }
        }
        return found.isEmpty ? [NameServer(host: "127.0.0.1")] : found
    }
}
