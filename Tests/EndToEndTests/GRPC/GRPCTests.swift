import Foundation
import Testing

extension EndToEnd {
    /// grpcio's client and server, with the gateway between them.
    @Suite(.enabled(if: Clients.wanted)) struct GRPC {
        @Test(arguments: [
            "unary", "empty", "large", "streams", "ping_pong", "statuses", "deadline", "cancel", "compression",
            "parallel",
        ]) func callsPassThrough(_ name: String) throws {
            let server = try PythonServer("serve_grpc.py")
            let gateway = try Gateway(.calls(["grpc://127.0.0.1:\(server.port)"]))
            try Clients.run("drive_grpc.py", ["\(gateway.port)", name])
        }

        @Test func refusalsAreStatusesOfGRPC() throws {
            let backend = try ScriptedBackend.ordinary()
            var elsewhere = GatewayConfiguration.calls([backend.endpoint])
            elsewhere.routes = "[ { prefix: /test., model: web } ]"
            let gateway = try Gateway(elsewhere)
            try Clients.run("drive_grpc.py", ["\(gateway.port)", "unknown"])
            try Clients.run("drive_grpc.py", ["\(gateway.port)", "plain_http"])
            let closed = try Ports.refusing()
            let unreachable = try Gateway(.calls(["grpc://127.0.0.1:\(closed)"]))
            try Clients.run("drive_grpc.py", ["\(unreachable.port)", "unreachable"])
        }

        @Test func healthIsAnsweredForTheGatewayAndItsModels() throws {
            let server = try PythonServer("serve_grpc.py")
            let closed = try Ports.refusing()
            var configuration = GatewayConfiguration()
            configuration.adapters = ["grpc-health", "model-service", "passthrough"]
            configuration.routes = "[ { prefix: /grpc.health.v1.Health/Else, model: plain } ]"
            configuration.plugins = [
                "  - { name: grpc-health, library: libGRPCHealth.so }",
                "  - { name: model-service, library: libModelService.so }",
            ]
            func model(_ name: String, _ port: UInt16, _ more: String) -> String {
                "  \(name): { versions: { \"1\": { endpoints: [ \"grpc://127.0.0.1:\(port)\" ], \(more) } } }"
            }
            configuration.models = [
                "  iris: { versions: { \"1\": { backend: linear-model } } }",
                model("good", server.port, "protocol: model-service"),
                model("tired", server.port, "protocol: model-service"),
                model("down", closed, "protocol: model-service"),
                model("plain", server.port, "protocol: passthrough"),
            ]
            let gateway = try Gateway(configuration)
            try Clients.run("drive_grpc.py", ["\(gateway.port)", "health"])
        }

        @Test func healthAndReflectionPassWhereARouteSaysSo() throws {
            let server = try PythonServer("serve_grpc.py")
            var configuration = GatewayConfiguration.calls(["grpc://127.0.0.1:\(server.port)"])
            configuration.routes =
                "[ { prefix: /grpc.reflection.v1alpha.ServerReflection/, model: web }, "
                + "{ prefix: /grpc.health.v1.Health/, model: web }, { prefix: /test., model: web } ]"
            let gateway = try Gateway(configuration)
            try Clients.run("drive_grpc.py", ["\(gateway.port)", "reflection"])
            try Clients.run("drive_grpc.py", ["\(gateway.port)", "health_passes"])
            configuration.routes = "[ { prefix: /test., model: web } ]"
            let without = try Gateway(configuration)
            try Clients.run("drive_grpc.py", ["\(without.port)", "no_reflection"])
        }

        /// grpc/doc/http-grpc-status-mapping.md.
        @Test(arguments: [
            (400, 13), (401, 16), (403, 7), (404, 12), (429, 14), (502, 14), (503, 14), (504, 14), (500, 2), (200, 2),
        ])
        func answersOfPlainHTTPBecomeStatuses(_ http: Int, _ status: Int) throws {
            let backend = try ScriptedBackend.http2 { _, peer in
                while let stream = try peer.nextRequest() {
                    peer.respond(stream, http, "<html>", fields: [("content-type", "text/html")])
                }
            }
            let gateway = try Gateway(.calls([backend.grpcEndpoint]))
            let answer = try gateway.call("/a.B/C", fields: [])
            #expect(answer.status == 200)
            #expect(answer.field("content-type") == "application/grpc")
            #expect(answer.field("grpc-status") == "\(status)")
            #expect(answer.field("grpc-message") == "the endpoint answered a call with HTTP status \(http)")
            #expect(answer.body.isEmpty)
        }

        @Test func timeoutsAreReadStrictlyAndPassedOn() throws {
            let backend = try ScriptedBackend.http2 { _, peer in
                while let stream = try peer.nextRequest() {
                    let timeout = peer.answers[stream]?.field("grpc-timeout") ?? "none"
                    let te = peer.answers[stream]?.field("te") ?? "none"
                    peer.respond(
                        stream, 200, "",
                        fields: [
                            ("content-type", "application/grpc"), ("grpc-status", "0"), ("seen", timeout),
                            ("te-seen", te),
                        ])
                }
            }
            let gateway = try Gateway(.calls([backend.grpcEndpoint]))
            for bad in ["", "5", "S", "123456789S", "5s", "-5S", "5 S", "0x5S"] {
                let answer = try gateway.call("/a.B/C", fields: [("grpc-timeout", bad)])
                #expect(answer.field("grpc-status") == "13", "\(bad)")
            }
            let none = try gateway.call("/a.B/C", fields: [])
            #expect(none.field("seen") == "none")
            #expect(none.field("te-seen") == "trailers")
            let long = try gateway.call("/a.B/C", fields: [("grpc-timeout", "99999999H")])
            #expect(long.field("grpc-status") == "0")
            let some = try gateway.call("/a.B/C", fields: [("grpc-timeout", "20S")])
            let seen = try #require(some.field("seen"))
            // Twenty seconds less the time spent, in the finest unit that eight digits hold.
            #expect(seen.hasSuffix("u"))
            #expect((15_000_000...20_000_000).contains(Int(seen.dropLast()) ?? 0), "\(seen)")
        }

        /// A stream of messages may be longer than any body: nothing of it is held.
        @Test func theLimitOfBodiesIsNoneOfAStreamOfMessages() throws {
            let backend = try ScriptedBackend.http2 { _, peer in
                while let stream = try peer.nextRequest() {
                    let size = peer.answers[stream]?.body.count ?? 0
                    peer.respond(
                        stream, 200, "",
                        fields: [("content-type", "application/grpc"), ("grpc-status", "0"), ("size", "\(size)")])
                }
            }
            var configuration = GatewayConfiguration.calls([backend.grpcEndpoint])
            configuration.gateway += ["  limits: { body_bytes: 16384 }"]
            let gateway = try Gateway(configuration)
            let answer = try gateway.call("/a.B/C", fields: [], message: [UInt8](repeating: 0, count: 16_379))
            #expect(answer.field("size") == "16384")
            let client = try gateway.http2()
            client.request(1, "POST", "/a.B/C", fields: [("content-type", "application/grpc")], ends: false)
            for turn in 0..<3 {
                let message = [0] + HTTP2Frame.word(16_379) + [UInt8](repeating: 0, count: 16_379)
                client.send(HTTP2Frame(.data, flags: turn == 2 ? 1 : 0, stream: 1, message))
            }
            #expect(try client.answer(1).field("size") == "49152")
        }

        @Test func aCallThatBreaksOffSaysSoInItsTrailers() throws {
            let backend = try ScriptedBackend.http2 { _, peer in
                while let stream = try peer.nextRequest() {
                    peer.send(
                        HTTP2Frame(
                            .headers, flags: 4, stream: stream,
                            HTTP2Client.block([(":status", "200"), ("content-type", "application/grpc")])),
                        HTTP2Frame(.data, stream: stream, [0, 0, 0, 0, 1, 65]),
                        HTTP2Frame(.resetStream, stream: stream, HTTP2Frame.word(2)))
                }
            }
            let gateway = try Gateway(.calls([backend.grpcEndpoint]))
            let answer = try gateway.call("/a.B/C", fields: [])
            #expect(answer.body == [0, 0, 0, 0, 1, 65])
            #expect(answer.trailers.first { $0.name == "grpc-status" }?.value == "13")
        }
    }
}

extension GatewayConfiguration {
    /// Calls of gRPC to one model, behind `passthrough`, with time enough for what the tests do.
    static func calls(_ endpoints: [String]) -> GatewayConfiguration {
        var configuration = web(endpoints)
        configuration.gateway = ["  routing: { default_timeout_ms: 60000 }"]
        return configuration
    }
}

extension Gateway {
    /// One call with one empty message, frame by frame.
    func call(_ path: String, fields: [(String, String)], message: [UInt8] = []) throws -> HTTP2Answer {
        let client = try http2()
        client.request(
            1, "POST", path, fields: [("content-type", "application/grpc"), ("te", "trailers")] + fields, ends: false)
        let size = HTTP2Frame.word(UInt32(message.count))
        client.send(HTTP2Frame(.data, flags: 1, stream: 1, [0] + size + message))
        return try client.answer(1)
    }
}
