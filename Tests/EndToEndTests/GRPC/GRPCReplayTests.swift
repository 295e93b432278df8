import Foundation
import Testing

extension EndToEnd {
    /// Calls that are sent a second time: an inference whose endpoint failed, and any that an endpoint refused unread.
    @Suite struct GRPCReplay {
        private static let call = "/inference.GRPCInferenceService/ModelInfer"
        private static let stream = "/inference.GRPCInferenceService/ModelStreamInfer"
        /// A request for model "m", framed; its id tells one from the other.
        private static func message(_ id: String) -> [UInt8] {
            let content = [10, 1, UInt8(ascii: "m"), 26, UInt8(id.utf8.count)] + bytes(id)
            return [0] + HTTP2Frame.word(UInt32(content.count)) + content
        }
        private static let fields = [("content-type", "application/grpc"), ("te", "trailers")]

        private static func configuration(_ endpoints: [String]) -> GatewayConfiguration {
            var configuration = GatewayConfiguration()
            configuration.workers = 1
            configuration.adapters = ["open-inference"]
            configuration.balancer = "round-robin"
            configuration.gateway = ["  routing: { retry_policy: { max_attempts: 2, backoff_ms: 1 } }"]
            let list = endpoints.map { "\"\($0)\"" }.joined(separator: ", ")
            configuration.models = [
                "  m: { versions: { \"1\": { endpoints: [ \(list) ], protocol: open-inference } } }"
            ]
            return configuration
        }

        /// Answers each call with what it was sent.
        private static func echo() throws -> ScriptedBackend {
            try ScriptedBackend.http2 { _, peer in
                while let stream = try peer.nextRequest(.after(seconds: 60)) {
                    peer.answerCall(stream, peer.answers[stream]?.body ?? [])
                }
            }
        }

        /// `apart`: the end of the call comes in a frame of its own, as some clients send it, and after the request has
        /// gone on.
        @Test(arguments: [false, true]) func anInferenceIsAskedOfAnotherEndpoint(_ apart: Bool) throws {
            let lost = Counter()
            let failing = try ScriptedBackend.http2 { _, peer in
                // The connection ends once the call is there: nobody knows what became of it.
                if try peer.nextRequest(.after(seconds: 60)) != nil { _ = lost.increment() }
            }
            let well = try Self.echo()
            let gateway = try Gateway(Self.configuration([failing.grpcEndpoint, well.grpcEndpoint]))
            let client = try gateway.http2()
            for index in 0..<4 {
                let stream = UInt32(index * 2 + 1)
                let message = Self.message("\(index)")
                client.request(stream, "POST", Self.call, fields: Self.fields, ends: false)
                client.send(HTTP2Frame(.data, flags: apart ? 0 : 1, stream: stream, message))
                if apart {
                    try waitUntil("the message has gone on") {
                        try gateway.metric("sluice_endpoint_in_flight") == 1
                    }
                    client.send(HTTP2Frame(.data, flags: 1, stream: stream))
                }
                let answer = try client.answer(stream)
                #expect(answer.grpcStatus == "0", "\(answer)")
                #expect(answer.body == message)
            }
            #expect(lost.value > 0)
            #expect(try gateway.metric("sluice_retries_total", ["model=\"m\""]) == Double(lost.value))
        }

        @Test func allThatARefusedCallHasSaidIsSaidAgain() throws {
            let refused = Counter()
            let backend = try ScriptedBackend.http2 { _, peer in
                while let stream = try peer.nextRequest(.after(seconds: 60)) {
                    if refused.increment() == 1 {
                        peer.send(HTTP2Frame(.resetStream, stream: stream, HTTP2Frame.word(HTTP2Error.refused)))
                        continue
                    }
                    peer.answerCall(stream, peer.answers[stream]?.body ?? [])
                }
            }
            let gateway = try Gateway(Self.configuration([backend.grpcEndpoint]))
            let client = try gateway.http2()
            client.request(1, "POST", Self.stream, fields: Self.fields, ends: false)
            client.send(HTTP2Frame(.data, stream: 1, Self.message("first")))
            try waitUntil("the first message has gone on") { try gateway.metric("sluice_endpoint_in_flight") == 1 }
            client.send(HTTP2Frame(.data, flags: 1, stream: 1, Self.message("second")))
            let answer = try client.answer(1)
            #expect(answer.grpcStatus == "0", "\(answer)")
            #expect(answer.body == Self.message("first") + Self.message("second"))
        }

        /// An endpoint is told the request's time: were it the attempt's, its own word that this is up could come
        /// before the gateway's, and would be the client's answer.
        @Test func anAttemptsOwnTimeIsTheGatewaysToKeep() throws {
            let told = Counter()
            let backend = try ScriptedBackend.http2 { _, peer in
                while let stream = try peer.nextRequest(.after(seconds: 60)) {
                    let timeout = peer.answers[stream]?.field("grpc-timeout") ?? "none"
                    // Twenty minutes in the finest unit that eight digits hold, rounded up; an attempt has one.
                    if timeout.hasSuffix("m"), (1_100_000...1_200_001).contains(Int(timeout.dropLast()) ?? 0) {
                        _ = told.increment()
                    }
                    peer.answerCall(stream, [0, 0, 0, 0, 3, 10, 1, UInt8(ascii: "m")])
                }
            }
            var configuration = Self.configuration([backend.grpcEndpoint])
            configuration.gateway = [
                "  routing:", "    default_timeout_ms: 1200000",
                "    retry_policy: { max_attempts: 2, per_try_timeout_ms: 60000 }",
            ]
            let gateway = try Gateway(configuration)
            #expect(try gateway.post("/v2/models/m/infer", #"{"inputs":[]}"#).status == 200)
            #expect(told.value == 1)
        }
    }
}
