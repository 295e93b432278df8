import SluicePlugin
import SluiceRouting

/// The cookie that a client without a session is given: RFC 6265 section 4.1, with `SameSite` of RFC 6265bis.
struct SessionCookie {
    let name: KeptText
    /// `; Path=/; Max-Age=3600; HttpOnly`, what follows the value.
    private let attributes: KeptText

    init(_ config: Configuration) throws(PluginError) {
        try config.allow(["name", "max_age", "path", "secure", "http_only", "same_site"])
        if config["name"].isNull { throw config.error("'name' is missing: what the cookie is called") }
        let name = try config["name"].token("a cookie's name")
        let path = try config.text("path", default: "/")
        let isPath =
            path.hasPrefix("/") && path.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: ";") }
        if !isPath { throw config["path"].error("a path begins with `/` and has neither `;` nor white space") }
        var attributes = "; Path=\(path)"
        // 400 days are what browsers keep a cookie at most (RFC 6265bis section 5.5). 0: until the browser ends.
        let age = try config.integer("max_age", default: 0, in: 0...34_560_000)
        if age > 0 { attributes += "; Max-Age=\(age)" }
        let secure = try config.boolean("secure", default: false)
        if secure { attributes += "; Secure" }
        if try config.boolean("http_only", default: true) { attributes += "; HttpOnly" }
        switch try config.text("same_site", default: "lax") {
        case "lax": attributes += "; SameSite=Lax"
        case "strict": attributes += "; SameSite=Strict"
        case "none":
            if !secure { throw config["same_site"].error("browsers take `none` with `secure: true` only") }
            attributes += "; SameSite=None"
        case let other: throw config["same_site"].error("'\(other)' is none of lax, strict, none")
        }
        // Browsers drop such cookies otherwise: RFC 6265bis section 4.1.3.
        let prefix = name.lowercased()
        if prefix.hasPrefix("__secure-") || prefix.hasPrefix("__host-"), !secure {
            throw config["name"].error("browsers take a cookie of this prefix with `secure: true` only")
        }
        if prefix.hasPrefix("__host-"), path != "/" {
            throw config["path"].error("browsers take a cookie of the prefix __Host- with the path `/` only")
        }
        self.name = KeptText(name)
        self.attributes = KeptText(attributes)
    }

    /// Gives the client a new session and returns its key, which lives as long as the exchange.
    func issue(_ exchange: Exchange) throws(PluginError) -> Bytes {
        // Nobody gains by another's session here, but two clients must not have one: 128 random bits.
        var random = SystemRandomNumberGenerator()
        var writer = exchange.writer(capacity: 128)
        name.withBytes { writer.append($0) }
        writer.append(0x3D)
        let start = writer.count
        Self.append(hexadecimal: random.next(), to: &writer)
        Self.append(hexadecimal: random.next(), to: &writer)
        let end = writer.count
        attributes.withBytes { writer.append($0) }
        let field = try writer.finish()
        // Beside the cookies that the endpoint sets.
        try exchange.addField(.response, Bytes("set-cookie"), field)
        return field[start..<end]
    }

    private static func append(hexadecimal value: UInt64, to writer: inout ByteWriter) {
        for shift in stride(from: UInt64(60), through: 0, by: -4) {
            let digit = UInt8(truncatingIfNeeded: value &>> shift & 15)
            writer.append(digit < 10 ? 0x30 &+ digit : 0x57 &+ digit)
        }
    }
}
