import Foundation
import Testing

extension EndToEnd {
    /// Every case of h2spec, the public suite for HTTP/2, and more, by section of RFC 9113 and RFC 7541. The suite is
    /// numbered by the sections of RFC 7540.
    @Suite struct HTTP2Conformance {
        @Test func framesAsTheyShouldBe() throws { try check(HTTP2Rule.accepted) }
        @Test func framesThatBreakTheRules() throws { try check(HTTP2Rule.framing) }
        @Test func messagesThatBreakTheRules() throws { try check(HTTP2Rule.messages) }
        @Test func headerBlocks() throws { try check(HTTP2Rule.compression) }

        /// How many cases each section of the suite has: 147, of which it runs 146 unless it is told to be strict.
        private static let sections = [
            "generic/1": 1, "generic/2": 5, "generic/3.1": 3, "generic/3.2": 3, "generic/3.3": 5, "generic/3.4": 1,
            "generic/3.5": 1, "generic/3.7": 1, "generic/3.8": 1, "generic/3.9": 2, "generic/3.10": 2, "generic/4": 4,
            "generic/5": 15, "http2/3.5": 2, "http2/4.1": 3, "http2/4.2": 3, "http2/4.3": 3, "http2/5.1": 13,
            "http2/5.1.1": 2, "http2/5.1.2": 1, "http2/5.3.1": 2, "http2/5.4.1": 2, "http2/5.5": 2, "http2/6.1": 3,
            "http2/6.2": 4, "http2/6.3": 2, "http2/6.4": 3, "http2/6.5": 3, "http2/6.5.2": 5, "http2/6.5.3": 2,
            "http2/6.7": 4, "http2/6.8": 1, "http2/6.9": 3, "http2/6.9.1": 3, "http2/6.9.2": 3, "http2/6.10": 6,
            "http2/7": 2, "http2/8.1": 1, "http2/8.1.2": 1, "http2/8.1.2.1": 4, "http2/8.1.2.2": 2,
            "http2/8.1.2.3": 7, "http2/8.1.2.6": 2, "http2/8.2": 1, "hpack/2.3.3": 2, "hpack/4.2": 1, "hpack/5.2": 3,
            "hpack/6.1": 1, "hpack/6.3": 1,
        ]

        @Test func everyCaseOfTheSuiteIsThere() {
            let rules = HTTP2Rule.accepted + HTTP2Rule.framing + HTTP2Rule.messages + HTTP2Rule.compression
            // The one that is not made of frames.
            let cases = rules.flatMap(\.cases) + ["http2/3.5/2"]
            let wanted = Self.sections.flatMap { section, count in (1...count).map { "\(section)/\($0)" } }
            #expect(wanted.count == 147)
            #expect(cases.sorted() == wanted.sorted())
        }

        /// All on one gateway, each on a connection of its own: what one breaks must not harm the next.
        private func check(_ rules: [HTTP2Rule]) throws {
            let backend = try ScriptedBackend.ordinary()
            let gateway = try Gateway(.web([backend.endpoint]))
            for rule in rules {
                let client = try gateway.http2()
                do {
                    for step in rule.steps { try step.take(client) }
                    try judge(client, rule)
                } catch {
                    Issue.record("\(rule.name): \(error)")
                }
            }
            #expect(try gateway.get("/").status == 200)
        }

        private func judge(_ client: HTTP2Client, _ rule: HTTP2Rule) throws {
            let name = Comment(rawValue: rule.name)
            switch rule.verdict {
            case .answered(let stream, let status):
                #expect(try client.answer(stream, .after(seconds: 5)).status == status, name)
            case .streamError(let stream, let codes):
                let end = try client.read(.after(seconds: 5)) {
                    $0.kind == .resetStream && $0.stream == stream && codes.contains($0.errorCode)
                        || $0.kind == .goAway
                }
                #expect(end.map { codes.contains($0.errorCode) } == true, name)
            case .connectionError(let codes):
                let code = try client.goAwayCode(.after(seconds: 5))
                #expect(code.map { codes.contains($0) } == true, "\(rule.name): \(String(describing: code))")
            case .alive:
                client.send(HTTP2Rule.ping)
                #expect(try client.read(.after(seconds: 5)) { $0.kind == .ping && $0.flags == 1 } != nil, name)
            case .pong(let payload):
                let answer = try client.read(.after(seconds: 5)) { $0.kind == .ping && $0.flags == 1 }
                #expect(answer?.payload == payload, name)
            case .settingsAcknowledged:
                #expect(try client.read(.after(seconds: 5)) { $0.kind == .settings && $0.flags == 1 } != nil, name)
            case .settingsFirst:
                #expect(client.frames.first?.kind == .settings, name)
            }
        }

        /// http2/3.5/2 of the suite.
        @Test func aPrefaceThatIsNoneIsNoHTTP2() throws {
            let gateway = try Gateway(.web(["http://127.0.0.1:1"]))
            let socket = try gateway.connect()
            socket.send("PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n")
            #expect(try MessageReader(socket).response()?.status == 505)
            #expect(socket.closedByPeer())
        }
    }
}
