import Foundation
import Testing

extension EndToEnd {
    /// How a call ends by what its endpoint says, in fields or by resetting its stream.
    @Suite struct CallEndings {
        private static let head = [(":status", "200"), ("content-type", "application/grpc")]
        private static let infer = #"{"inputs":[{"name":"x","datatype":"FP32","shape":[1],"data":[1]}]}"#

        @Test func aStreamThatStandsStillForTooLongIsToldSo() throws {
            let backend = try ScriptedBackend.http2 { _, peer in
                guard let stream = try peer.nextRequest() else { return }
                peer.send(HTTP2Frame(.headers, flags: 4, stream: stream, HTTP2Client.block(Self.head)))
                _ = peer.socket.closedByPeer()
            }
            var configuration = GatewayConfiguration.calls([backend.grpcEndpoint])
            configuration.gateway = ["  limits: { body_timeout_ms: 100, idle_timeout_ms: 300 }"]
            let answer = try Gateway(configuration).call("/a.B/C", fields: [])
            #expect(answer.grpcStatus == "14")
            #expect(answer.grpcMessage?.contains("stood still") == true, "\(answer)")
        }

        @Test func aStreamThatOutlivesItsDeadlineIsToldSo() throws {
            let backend = try ScriptedBackend.http2 { _, peer in
                guard let stream = try peer.nextRequest() else { return }
                peer.send(
                    HTTP2Frame(.headers, flags: 4, stream: stream, HTTP2Client.block(Self.head)),
                    HTTP2Frame(.data, stream: stream, [0, 0, 0, 0, 1, 65]))
                _ = peer.socket.closedByPeer()
            }
            let gateway = try Gateway(.calls([backend.grpcEndpoint]))
            let answer = try gateway.call("/a.B/C", fields: [("grpc-timeout", "300m")])
            #expect(answer.body == [0, 0, 0, 0, 1, 65])
            #expect(answer.trailer("grpc-status") == "4")
            #expect(answer.trailer("grpc-message") == "the call took longer than its deadline")
        }

        /// grpc/doc/PROTOCOL-HTTP2.md, "Errors".
        private static let resets: [(code: UInt32, status: String)] = [
            (0, "13"), (1, "13"), (2, "13"), (3, "13"), (4, "13"), (5, "13"), (6, "13"), (7, "14"), (8, "1"),
            (9, "13"), (10, "13"), (11, "8"), (12, "7"), (13, "13"), (99, "13"),
        ]

        /// Resets the stream with the code that the path ends with; `/within` after a message, else before an answer.
        private static func resetting() throws -> ScriptedBackend {
            try ScriptedBackend.http2 { _, peer in
                while let stream = try peer.nextRequest() {
                    let path = peer.answers[stream]?.field(":path") ?? ""
                    let code = path.split(separator: "/").last.flatMap { UInt32($0) } ?? 0
                    if path.hasPrefix("/within") {
                        peer.send(
                            HTTP2Frame(.headers, flags: 4, stream: stream, HTTP2Client.block(head)),
                            HTTP2Frame(.data, stream: stream, [0, 0, 0, 0, 1, 65]))
                    }
                    peer.send(HTTP2Frame(.resetStream, stream: stream, HTTP2Frame.word(code)))
                }
            }
        }

        @Test func aResetIsAStatus() throws {
            let backend = try Self.resetting()
            let gateway = try Gateway(.calls([backend.grpcEndpoint]))
            for (code, status) in Self.resets {
                let before = try gateway.call("/before/\(code)", fields: [])
                #expect(before.field("grpc-status") == status, "\(code)")
                #expect(before.field("grpc-message") == "the endpoint reset the call (code \(code))")
                let within = try gateway.call("/within/\(code)", fields: [])
                #expect(within.body == [0, 0, 0, 0, 1, 65])
                #expect(within.trailer("grpc-status") == status, "\(code)")
                #expect(within.trailer("grpc-message") == "the endpoint reset the call (code \(code))")
            }
            let plain = try gateway.get("/before/8")
            #expect(plain.status == 502)
            #expect(plain.bodyText.contains("the endpoint reset the stream (code 8)"), "\(plain.bodyText)")
        }

        /// The code changes what the client is told, and not what is tried again.
        @Test func aResetCallIsSentAgainAsBefore() throws {
            let seen = Counter()
            let backend = try ScriptedBackend.http2 { _, peer in
                while let stream = try peer.nextRequest() {
                    seen.add(1)
                    let code: UInt32 = peer.answers[stream]?.field(":path") == "/a.B/Refused" ? HTTP2Error.refused : 8
                    peer.send(HTTP2Frame(.resetStream, stream: stream, HTTP2Frame.word(code)))
                }
            }
            let gateway = try Gateway(.calls([backend.grpcEndpoint]))
            #expect(try gateway.call("/a.B/Cancelled", fields: []).field("grpc-status") == "1")
            #expect(seen.value == 1)
            #expect(try gateway.call("/a.B/Refused", fields: []).field("grpc-status") == "14")
            #expect(seen.value == 3)
        }

        /// What stands in for an endpoint that fails stands in for one that resets calls, whatever the code.
        @Test(arguments: [1, 2, 8, 11, 12]) func aResetCallHasItsFallback(_ code: UInt32) throws {
            let backend = try ScriptedBackend.http2 { _, peer in
                while let stream = try peer.nextRequest() {
                    peer.send(HTTP2Frame(.resetStream, stream: stream, HTTP2Frame.word(code)))
                }
            }
            var configuration = GatewayConfiguration()
            configuration.adapters = ["open-inference"]
            configuration.models = [
                "  m:", "    versions:",
                "      \"1\": { endpoints: [ \"\(backend.grpcEndpoint)\" ], protocol: open-inference }",
                "    fallback: { response: { status: 203, body: instead } }",
            ]
            let gateway = try Gateway(configuration)
            let answer = try gateway.post("/v2/models/m/infer", Self.infer)
            #expect(answer.status == 203)
            #expect(answer.bodyText == "instead")
        }

        @Test(arguments: [false, true]) func aLostConnectionIsUnavailable(_ within: Bool) throws {
            let backend = try ScriptedBackend.http2 { _, peer in
                guard let stream = try peer.nextRequest(), within else { return }
                peer.send(
                    HTTP2Frame(.headers, flags: 4, stream: stream, HTTP2Client.block(Self.head)),
                    HTTP2Frame(.data, stream: stream, [0, 0, 0, 0, 1, 65]))
            }
            let gateway = try Gateway(.calls([backend.grpcEndpoint]))
            let answer = try gateway.call("/a.B/C", fields: [])
            #expect((within ? answer.trailer("grpc-status") : answer.field("grpc-status")) == "14")
        }

        /// grpc/doc/statuscodes.md: UNKNOWN, which counts as what it is.
        @Test(arguments: ["/a.B/Head", "/a.B/UnreadableHead", "/a.B/Data", "/a.B/Unreadable", "/a.B/OtherTrailer"])
        func aCallWithoutAStatusHasFailed(_ path: String) throws {
            let backend = try ScriptedBackend.http2 { _, peer in
                while let stream = try peer.nextRequest() {
                    let message = HTTP2Frame(.data, stream: stream, [0, 0, 0, 0, 1, 65])
                    let head = HTTP2Frame(.headers, flags: 4, stream: stream, HTTP2Client.block(Self.head))
                    func end(_ fields: [(String, String)]) -> HTTP2Frame {
                        HTTP2Frame(.headers, flags: 5, stream: stream, HTTP2Client.block(fields))
                    }
                    switch path {
                    case "/a.B/Head": peer.send(end(Self.head))
                    case "/a.B/UnreadableHead": peer.send(end(Self.head + [("grpc-status", "abc")]))
                    case "/a.B/Data": peer.send(head, HTTP2Frame(.data, flags: 1, stream: stream, message.payload))
                    case "/a.B/Unreadable": peer.send(head, message, end([("grpc-status", "abc")]))
                    default: peer.send(head, message, end([("x-other", "1")]))
                    }
                }
            }
            var configuration = GatewayConfiguration.calls([backend.grpcEndpoint])
            configuration.gateway += ["  circuit_breaker: { failure_threshold: 2, reset_timeout_sec: 600 }"]
            configuration.workers = 1
            let gateway = try Gateway(configuration)
            for _ in 1...2 {
                let answer = try gateway.call(path, fields: [])
                switch path {
                case "/a.B/Data": #expect(answer.trailer("grpc-status") == "2")
                case "/a.B/Unreadable": #expect(answer.trailer("grpc-status") == "abc")
                case "/a.B/OtherTrailer": #expect(answer.trailer("x-other") == "1")
                default: #expect(answer.body.isEmpty)
                }
            }
            #expect(try gateway.metric("sluice_attempts_total", ["outcome=\"server_error\""]) == 2)
            #expect(try gateway.metric("sluice_attempts_total", ["outcome=\"success\""]) == 0)
            // The endpoint is not asked a third time.
            #expect(try gateway.call(path, fields: []).field("grpc-status") == "14")
        }

        /// grpc/doc/http-grpc-status-mapping.md: for answers without `grpc-status`.
        @Test func theEndpointsOwnStatusCountsBeforeThatOfHTTP() throws {
            let backend = try ScriptedBackend.http2 { _, peer in
                while let stream = try peer.nextRequest() {
                    let isGRPC = peer.answers[stream]?.field(":path") != "/a.B/Page"
                    peer.respond(
                        stream, 503, "",
                        fields: [
                            ("content-type", isGRPC ? "application/grpc" : "text/html"), ("grpc-status", "7"),
                            ("grpc-message", "not you"),
                        ])
                }
            }
            let gateway = try Gateway(.calls([backend.grpcEndpoint]))
            let answer = try gateway.call("/a.B/C", fields: [])
            #expect(answer.field("grpc-status") == "7")
            #expect(answer.field("grpc-message") == "not you")
            #expect(try gateway.call("/a.B/Page", fields: []).field("grpc-status") == "14")
        }

        /// The same where the gateway makes the call, for a client of HTTP; and a listed status of HTTP has nobody try
        /// again what the endpoint has judged.
        @Test func theEndpointsOwnStatusCountsInCallsThatAreMadeHere() throws {
            let seen = Counter()
            let backend = try ScriptedBackend.http2 { _, peer in
                while let stream = try peer.nextRequest() {
                    seen.add(1)
                    peer.respond(
                        stream, 503, "",
                        fields: [
                            ("content-type", "application/grpc"), ("grpc-status", "7"), ("grpc-message", "not you"),
                        ])
                }
            }
            var configuration = GatewayConfiguration()
            configuration.adapters = ["open-inference"]
            configuration.gateway = ["  routing: { retry_policy: { max_attempts: 2, backoff_ms: 0 } }"]
            configuration.models = [
                "  m: { versions: { \"1\": { endpoints: [ \"\(backend.grpcEndpoint)\" ], protocol: open-inference } } }"
            ]
            let gateway = try Gateway(configuration)
            let answer = try gateway.post("/v2/models/m/infer", Self.infer)
            #expect(answer.status == 403)
            #expect(answer.bodyText.contains("not you"), "\(answer.bodyText)")
            #expect(seen.value == 1)
        }

        /// Nothing of a trailer section is left out: it crosses, or the call fails by a limit that is named.
        @Test(arguments: [100, 101, 400]) func trailersCrossWholeOrTheCallFails(_ count: Int) throws {
            let backend = try ScriptedBackend.http2 { _, peer in
                while let stream = try peer.nextRequest() {
                    let trailers = (1..<count).map { ("x-\($0)", "v") } + [("grpc-status", "0")]
                    peer.answerCall(stream, [0, 0, 0, 0, 1, 65], trailers: trailers)
                }
            }
            let gateway = try Gateway(.calls([backend.grpcEndpoint]))
            let answer = try gateway.call("/a.B/C", fields: [])
            if count <= 100 {
                #expect(answer.trailers.count == count)
                #expect(answer.trailer("grpc-status") == "0")
            } else {
                #expect(answer.trailer("grpc-status") == "8")
                #expect(answer.trailer("grpc-message")?.contains("limits.header_count") == true)
            }
        }

        /// More of them than an exchange keeps answers.
        @Test(arguments: [[], [0, 0, 0, 0, 1, 65]] as [[UInt8]])
        func manyRefusedAttemptsEndAsTheLastOne(_ body: [UInt8]) throws {
            let seen = Counter()
            let backend = try ScriptedBackend.http2 { _, peer in
                while let stream = try peer.nextRequest() {
                    seen.add(1)
                    peer.answerCall(stream, body, trailers: [("grpc-status", "14"), ("grpc-message", "not yet")])
                }
            }
            var configuration = GatewayConfiguration()
            configuration.adapters = ["open-inference"]
            configuration.gateway = ["  routing: { retry_policy: { max_attempts: 9, backoff_ms: 1 } }"]
            configuration.models = [
                "  m: { versions: { \"1\": { endpoints: [ \"\(backend.grpcEndpoint)\" ], protocol: open-inference } } }"
            ]
            let gateway = try Gateway(configuration)
            let answer = try gateway.post("/v2/models/m/infer", Self.infer)
            #expect(answer.status == 503)
            #expect(answer.bodyText.contains("not yet"), "\(answer.bodyText)")
            #expect(seen.value == 9)
        }

        /// What is wrong with a head is said of the protocol that the endpoint speaks, and a limit by its name.
        @Test func faultsOfAHeadAreNamed() throws {
            let backend = try ScriptedBackend.http2 { _, peer in
                while let stream = try peer.nextRequest() {
                    let fields: [(String, String)] =
                        switch peer.answers[stream]?.field(":path") {
                        case "/count": Self.head + (0..<120).map { ("x-\($0)", "v") }
                        case "/bytes": Self.head + (0..<9).map { ("x-\($0)", String(repeating: "v", count: 900)) }
                        // A frame of more than 16 KiB, which ends the connection (RFC 9113 §4.2).
                        case "/frame": Self.head + [("x-large", String(repeating: "v", count: 20_000))]
                        case "/upper": Self.head + [("X-Upper", "v")]
                        default: [("content-type", "application/grpc")]
                        }
                    peer.send(HTTP2Frame(.headers, flags: 5, stream: stream, HTTP2Client.block(fields)))
                }
            }
            var configuration = GatewayConfiguration.calls([backend.grpcEndpoint])
            configuration.gateway += ["  limits: { header_bytes: 8000 }"]
            let gateway = try Gateway(configuration)
            let faults = [
                ("/count", "limits.header_count", "8"), ("/bytes", "limits.header_bytes", "8"),
                ("/upper", "no valid HTTP/2", "14"), ("/none", "no valid HTTP/2", "14"),
                ("/frame", "no valid HTTP/2", "14"),
            ]
            for (path, text, status) in faults {
                let plain = try gateway.get(path)
                #expect(plain.status == 502)
                #expect(plain.bodyText.contains(text), "\(path) \(plain.bodyText)")
                let call = try gateway.call(path, fields: [])
                #expect(call.field("grpc-status") == status, "\(path)")
                #expect(call.field("grpc-message")?.contains(text) == true, "\(path)")
            }
            let old = try ScriptedBackend { connection, request in
                connection.answer(
                    fields: request.target == "/count" ? (0..<120).map { "X-\($0): v" } : ["No colon"])
            }
            let second = try Gateway(.web([old.endpoint]))
            #expect(try second.get("/count").bodyText.contains("limits.header_count"))
            #expect(try second.get("/else").bodyText.contains("no valid HTTP/1.1"))
        }
    }
}

extension HTTP2Answer {
    fileprivate func trailer(_ name: String) -> String? { trailers.first { $0.name == name }?.value }
}
