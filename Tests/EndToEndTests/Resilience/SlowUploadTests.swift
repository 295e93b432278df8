import Foundation
import Testing

extension EndToEnd {
    /// A client that takes its time to send a body: that is its own time, and none of the endpoint's.
    @Suite struct SlowUploads {
        enum Way: CaseIterable { case length, chunks, call }

        /// `web`, and `silent`, which takes every request and answers none.
        private final class Fixture {
            let never = Gate()
            let web: ScriptedBackend
            let silent: ScriptedBackend
            let gateway: Gateway

            init(_ way: Way) throws {
                let never = never
                silent = try ScriptedBackend { connection in
                    _ = try connection.reader.request(.after(seconds: 600))
                    never.wait()
                }
                if way == .call {
                    web = try ScriptedBackend.http2 { _, peer in
                        while let stream = try peer.nextRequest() {
                            _ = try peer.answer(stream)
                            let type = ("content-type", "application/grpc")
                            peer.respond(stream, 200, "", fields: [type, ("grpc-status", "0")])
                        }
                    }
                } else {
                    web = try ScriptedBackend.ordinary()
                }
                var configuration = GatewayConfiguration()
                configuration.adapters = ["passthrough"]
                configuration.workers = 1
                configuration.routes = "[ { prefix: /silent, model: silent }, { prefix: /, model: web } ]"
                configuration.gateway = [
                    "  routing: { retry_policy: { max_attempts: 2, backoff_ms: 0, per_try_timeout_ms: 100 } }",
                    "  circuit_breaker: { failure_threshold: 1, reset_timeout_sec: 600, scope: both }",
                ]
                let endpoint = way == .call ? web.grpcEndpoint : web.endpoint
                configuration.models = [("web", endpoint), ("silent", silent.endpoint)].map { name, endpoint in
                    "  \(name): { versions: { \"1\": { endpoints: [ \"\(endpoint)\" ], protocol: passthrough } }"
                        + (name == "silent" ? ", circuit_breaker: { failure_threshold: 100 } }" : " }")
                }
                gateway = try Gateway(configuration)
            }

            deinit { never.open() }

            /// When it returns, an attempt that began before has lasted for longer than it may.
            func letTimePass() throws { #expect(try gateway.get("/silent").status == 504) }

            func isAsked() throws { try waitUntil("the endpoint is asked") { web.received.contains { $0.count > 0 } } }
        }

        @Test(arguments: Way.allCases) func theTimeOfAnAttemptBeginsWithTheLastByte(_ way: Way) throws {
            let fixture = try Fixture(way)
            let status: String?
            if way == .call {
                let client = try fixture.gateway.http2()
                let fields = [("content-type", "application/grpc"), ("te", "trailers")]
                client.request(1, "POST", "/a.B/C", fields: fields, ends: false)
                client.send(HTTP2Frame(.data, stream: 1, [0, 0, 0, 0, 1, 65]))
                try waitUntil("the endpoint is asked") { fixture.web.connectionCount == 1 }
                try fixture.letTimePass()
                client.send(HTTP2Frame(.data, flags: 1, stream: 1, [0, 0, 0, 0, 1, 66]))
                status = try client.answer(1).field("grpc-status")
                #expect(status == "0")
            } else {
                let socket = try fixture.gateway.connect()
                let framing = way == .length ? "Content-Length: 10" : "Transfer-Encoding: chunked"
                socket.send("PUT /a HTTP/1.1\r\nHost: t\r\n\(framing)\r\n\r\n")
                socket.send(way == .length ? "hello" : "5\r\nhello\r\n")
                try fixture.isAsked()
                try fixture.letTimePass()
                socket.send(way == .length ? "world" : "5\r\nworld\r\n0\r\n\r\n")
                let answer = try MessageReader(socket).response(to: "PUT")
                #expect(answer?.status == 200, "\(String(describing: answer))")
                #expect(answer?.bodyText == "PUT /a 10")
            }
            #expect(
                try fixture.gateway.metric("sluice_attempts_total", ["model=\"web\"", "outcome=\"timeout\""]) == 0)
            #expect(try fixture.gateway.metric("sluice_breaker_opened_total", ["model=\"web\""]) == 0)
        }

        /// From there on it holds.
        @Test func itIsStillBoundedThen() throws {
            let fixture = try Fixture(.length)
            let socket = try fixture.gateway.connect()
            socket.send("PUT /silent HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\nhello")
            try fixture.letTimePass()
            socket.send("world")
            let answer = try MessageReader(socket).response(to: "PUT")
            #expect(answer?.status == 504)
            #expect(answer?.bodyText.contains("no attempt was answered within its time") == true)
        }

        /// What balancers, the detector and the limit that finds itself go by.
        @Test func anEndpointIsAsFastAsItAnswers() throws {
            let fixture = try Fixture(.length)
            let socket = try fixture.gateway.connect()
            socket.send("PUT /a HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\nhello")
            try fixture.isAsked()
            try fixture.letTimePass()
            let begin = monotonicNanoseconds()
            socket.send("world")
            #expect(try MessageReader(socket).response(to: "PUT")?.status == 200)
            let took = Double(monotonicNanoseconds() - begin) / 1e9
            let average = try fixture.gateway.metric(
                "sluice_endpoint_first_byte_ewma_seconds", ["model=\"web\""])
            #expect(average > 0 && average <= took, "\(average) of \(took)")
            let first = try fixture.gateway.metric("sluice_request_first_byte_seconds_sum", ["model=\"web\""])
            #expect(first > 0 && first <= took, "\(first) of \(took)")
        }
    }
}
