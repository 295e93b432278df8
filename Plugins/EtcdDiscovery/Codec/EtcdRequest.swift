/// Requests to etcd's JSON gateway: the messages of etcdserverpb (etcd's api/etcdserverpb/rpc.proto) in the JSON of
/// proto3, where bytes are in base 64 and 64-bit numbers are texts.
public struct EtcdRequest: Equatable, Sendable {
    public var path: String
    public var body: String

    /// Keys asked for at once: with values of 200 bytes a page has some 400 KB. Where values are so large that an
    /// answer has no room for a page, the next smaller size is tried; the last one has as little as there is. Ten times
    /// less each time finds that with three answers that are thrown away.
    public static let pageKeys = [1_000, 100, 10, 1]

    /// Keys from `key` up to `end`, exclusive, in their order.
    ///
    /// - Parameters:
    ///   - revision: as of then; 0: now, agreed on with the other members, so that a member that was cut off from them
    ///     fails and does not tell what once was.
    ///   - keys: how many at most.
    public static func page(from key: [UInt8], to end: [UInt8], revision: Int64, keys: Int) -> EtcdRequest {
        EtcdRequest(
            path: "/v3/kv/range",
            body: """
                {"key":"\(base64(key))","range_end":"\(base64(end))","limit":"\(keys)",\
                "revision":"\(revision)","sort_order":"ASCEND","sort_target":"KEY"}
                """)
    }

    /// How many keys there are, and the one that was changed last.
    public static func summary(of prefix: [UInt8]) -> EtcdRequest {
        EtcdRequest(
            path: "/v3/kv/range",
            body: """
                {"key":"\(base64(prefix))","range_end":"\(base64(end(of: prefix)))","limit":"1",\
                "sort_order":"DESCEND","sort_target":"MOD"}
                """)
    }

    /// All changes from `revision` on.
    public static func watch(_ prefix: [UInt8], from revision: Int64) -> EtcdRequest {
        EtcdRequest(
            path: "/v3/watch",
            body: """
                {"create_request":{"key":"\(base64(prefix))","range_end":"\(base64(end(of: prefix)))",\
                "start_revision":"\(revision)"}}
                """)
    }

    public static func authenticate(_ name: String, _ password: String) -> EtcdRequest {
        EtcdRequest(
            path: "/v3/auth/authenticate", body: "{\"name\":\(quoted(name)),\"password\":\(quoted(password))}")
    }

    /// The first key that does not begin with `prefix`; a single 0 says "to the end" (etcd's rpc.proto, RangeRequest).
    public static func end(of prefix: [UInt8]) -> [UInt8] {
        guard let last = prefix.lastIndex(where: { $0 < 255 }) else { return [0] }
        return Array(prefix[..<last]) + [prefix[last] + 1]
    }

    /// The request in bytes; it is the only one on its connection.
    ///
    /// - Parameter token: of `authenticate`; empty: none.
    public func bytes(host: String, token: String) -> [UInt8] {
        var head = "POST \(path) HTTP/1.1\r\nHost: \(host)\r\nContent-Type: application/json\r\n"
        head += "Content-Length: \(body.utf8.count)\r\nConnection: close\r\n"
        if !token.isEmpty { head += "Authorization: \(token)\r\n" }
        return Array((head + "\r\n" + body).utf8)
    }

    /// RFC 4648 §4, with padding.
    public static func base64(_ bytes: [UInt8]) -> String {
        let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
        var text: [UInt8] = []
        for begin in stride(from: 0, to: bytes.count, by: 3) {
            let group = bytes[begin..<min(begin + 3, bytes.count)]
            let number = group.reduce(0) { $0 << 8 | Int($1) } << (8 * (3 - group.count))
            for place in 0..<4 {
                text.append(place <= group.count ? alphabet[number >> (18 - 6 * place) & 63] : UInt8(ascii: "="))
            }
        }
        return String(decoding: text, as: UTF8.self)
    }

    static func quoted(_ text: String) -> String {
        var quoted = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"", "\\": quoted += "\\\(scalar)"
            case "\u{0}"..<" ":
                let digits = String(scalar.value, radix: 16)
                quoted += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: quoted.unicodeScalars.append(scalar)
            }
        }
        return quoted + "\""
    }
}
