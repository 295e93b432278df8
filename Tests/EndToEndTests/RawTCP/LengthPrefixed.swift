import Foundation

/// Messages of the length-prefixed protocol (Docs/adapters.md) without tensors, for tests that look at single bytes.
enum LengthPrefixed {
    static func infer(_ model: String, id: UInt8) -> [UInt8] {
        message(kind: 1, id: id, text(model) + text("") + [0, 0, 0, 0])
    }

    static func answer(_ model: String, id: UInt8) -> [UInt8] {
        message(kind: 0x81, id: id, text(model) + text("") + [0, 0])
    }

    private static func message(kind: UInt8, id: UInt8, _ rest: [UInt8]) -> [UInt8] {
        let content = bytes("SLTP") + [1, kind, 0, 0, 0, 0, 0, 0, 0, 0, 0, id] + rest
        return [0, 0, UInt8(content.count >> 8), UInt8(content.count & 0xFF)] + content
    }

    private static func text(_ text: String) -> [UInt8] { [0, UInt8(text.utf8.count)] + bytes(text) }
}

extension Socket {
    /// The next whole message; nil when the connection ends before one.
    func message(_ deadline: Deadline = .ordinary) -> [UInt8]? {
        guard let head = exactly(4, deadline) else { return nil }
        let size = head.reduce(0) { $0 << 8 | Int($1) }
        return exactly(size, deadline).map { head + $0 }
    }

    private func exactly(_ count: Int, _ deadline: Deadline) -> [UInt8]? {
        var collected: [UInt8] = []
        while collected.count < count {
            guard case .data(let piece) = receive(deadline, limit: count - collected.count) else { return nil }
            collected += piece
        }
        return collected
    }
}

extension GatewayConfiguration {
    /// A listener of raw TCP, and one of HTTP before it, before models of `serve_tcp.py` and one in this process.
    static func rawTCP(
        port: UInt16, models: [String], gateway: [String] = [], adapter: String? = "length-prefixed-tcp"
    ) -> GatewayConfiguration {
        var configuration = GatewayConfiguration()
        configuration.adapters = ["open-inference"]
        configuration.gateway = gateway
        configuration.plugins = ["  - { name: length-prefixed-tcp, library: libLengthPrefixedTCP.so }"]
        configuration.listeners.append("127.0.0.1:0" + (adapter.map { "\n      adapter: \($0)" } ?? ""))
        let version = "endpoints: [ \"tcp://127.0.0.1:\(port)\" ], protocol: length-prefixed-tcp"
        configuration.models = models.map { "  \($0): { versions: { \"1\": { \(version) } } }" }
        configuration.models += [
            "  iris: { versions: { \"1\": { backend: linear-model } } }",
            "  renamed: { versions: { \"1\": { \(version), upstream: { model: names, version: seven } } } }",
        ]
        return configuration
    }
}
