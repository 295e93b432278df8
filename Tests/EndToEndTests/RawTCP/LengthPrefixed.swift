import Foundation

/// Messages of the length-prefixed protocol (Docs/adapters.md), for tests that look at single bytes.
enum LengthPrefixed {
    /// A request that wants one output: its name comes to the endpoint as it is.
    static func infer(_ model: String, id: UInt8, output: String? = nil) -> [UInt8] {
        let outputs = output.map { [0, 1] + text($0) } ?? [0, 0]
        return message(kind: 1, id: [0, 0, 0, 0, 0, 0, 0, id], text(model) + text("") + outputs + [0, 0])
    }

    /// What an endpoint says to `request`: a tensor of no elements, by whose name it is known.
    static func answer(_ name: String, to request: [UInt8], kind: UInt8 = 0x81) -> [UInt8] {
        let tensor = text(name) + [2, 1] + Array(repeating: 0, count: 16)
        return message(kind: kind, id: Array(request[12..<20]), text("") + text("") + [0, 1] + tensor)
    }

    /// An endpoint's own error.
    static func refusal(of request: [UInt8]) -> [UInt8] {
        var refusal = message(kind: 0xFF, id: Array(request[12..<20]), text("") + text("") + text("off"))
        refusal[11] = 9
        return refusal
    }

    private static func message(kind: UInt8, id: [UInt8], _ rest: [UInt8]) -> [UInt8] {
        let content = bytes("SLTP") + [1, kind, 0, 0] + id + rest
        return [0, 0, UInt8(content.count >> 8), UInt8(content.count & 0xFF)] + content
    }

    /// "name for id" of an answer as above, "error status for id" of an error.
    static func meaning(_ message: [UInt8]) -> String {
        guard message.count > 24 else { return "no message" }
        func number(_ place: Int, _ size: Int) -> Int { message[place..<place + size].reduce(0) { $0 << 8 | Int($1) } }
        let id = number(12, 8)
        guard message[9] == 0x81 else { return "error \(number(10, 2)) for \(id)" }
        // Behind the names of model and version, and the number of tensors.
        var place = 20
        for _ in 0..<2 { place += 2 + number(place, 2) }
        place += 2
        let name = message[(place + 2)..<(place + 2 + number(place, 2))]
        return String(decoding: name, as: UTF8.self) + " for \(id)"
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

    /// What the next message means; nil when the connection ends before one.
    func answer(_ deadline: Deadline = .ordinary) -> String? { message(deadline).map(LengthPrefixed.meaning) }

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
