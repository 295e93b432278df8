import Foundation
import Testing

extension EndToEnd {
    /// Requests that are over for their client while a plugin has them suspended that is not told: a thread of the
    /// plugin goes on looking at what it was given, which must be as it was until the plugin resumes.
    @Suite struct HeldExchanges {
        private let directory: TemporaryDirectory
        private let library: String

        init() throws {
            directory = try TemporaryDirectory()
            library = try CompiledPlugin.c(
                BorrowingPlugin.source(go: directory.file("go")), "borrowing.so", in: directory,
                flags: ["-D_GNU_SOURCE"])
        }

        private func configuration(_ gateway: [String] = []) -> GatewayConfiguration {
            var configuration = GatewayConfiguration()
            configuration.workers = 1
            configuration.adapters = ["open-inference"]
            configuration.plugins = ["  - { name: borrowing, library: \(library) }"]
            configuration.filters = ["borrowing"]
            configuration.router = "borrowing"
            configuration.gateway = gateway
            configuration.models = ["  m:", "    versions:", "      \"1\": { backend: borrowing }"]
            return configuration
        }

        /// Which call of the plugin suspends it, and one tensor of `count` equal numbers.
        private func request(_ call: String, of value: Int = 1, count: Int = 500) -> String {
            let body =
                "{\"inputs\":[{\"name\":\"x\",\"datatype\":\"INT64\",\"shape\":[1,\(count)],"
                + "\"data\":\([Int](repeating: value, count: count))}]}"
            return "POST /v2/models/m/infer HTTP/1.1\r\nHost: a\r\nSuspended-In: \(call)\r\n"
                + "Content-Length: \(body.utf8.count)\r\n\r\n\(body)"
        }

        private func count(_ gateway: Gateway, _ name: String) throws -> Double {
            try gateway.metric("sluice_plugin_borrowing_\(name)")
        }

        private func held(_ gateway: Gateway) throws -> Double {
            try gateway.metric("sluice_exchanges_held", ["plugin=\"borrowing\""])
        }

        /// Others use what was given back, and the plugin looks at what it has twice after that.
        private func othersPass(_ gateway: Gateway) throws {
            for value in 2...9 {
                for count in [500, 5_000] {
                    #expect(try gateway.exchange(request("none", of: value, count: count)).status == 200)
                }
            }
            let rounds = try count(gateway, "rounds_total")
            try waitUntil("the plugin has looked") { try count(gateway, "rounds_total") >= rounds + 2 }
            #expect(try count(gateway, "changed_total") == 0)
        }

        private func resume(_ gateway: Gateway) throws {
            try directory.write("go", "")
            try waitUntil("all is given back") { try held(gateway) == 0 }
            try waitUntil("no buffer is left") { try gateway.metric("sluice_buffers_in_use") == 0 }
            #expect(try count(gateway, "changed_total") == 0)
        }

        /// In the connection's input, in a larger buffer, in one of its own.
        @Test(arguments: [("backend", 500), ("backend", 5_000), ("backend", 100_000), ("router", 500), ("filter", 500)])
        func whatAClientLeavesStays(call: String, count: Int) throws {
            let gateway = try Gateway(configuration())
            let socket = try gateway.connect()
            socket.send(request(call, count: count))
            try waitUntil("it is suspended") { try self.count(gateway, "waiting_total") == 1 }
            socket.close()
            try waitUntil("it is over") { try held(gateway) == 1 }
            #expect(try gateway.metric("sluice_exchanges_in_flight") == 0)
            try othersPass(gateway)
            try resume(gateway)
            #expect(try self.count(gateway, "repeated_total") == 0)
            #expect(try gateway.stop() == 0)
        }

        /// The connection goes on with the next request, which lies behind the first in the same buffer.
        @Test(arguments: ["backend", "router", "filter"])
        func whatADeadlineEndsStays(call: String) throws {
            let gateway = try Gateway(configuration(["  routing: { default_timeout_ms: 200 }"]))
            let socket = try gateway.connect()
            let reader = MessageReader(socket)
            socket.send(request(call, count: 20) + request("none", of: 7, count: 20))
            #expect(try #require(try reader.response()).status == 504)
            let next = try #require(try reader.response())
            #expect(next.status == 200)
            #expect(try JSON(next.bodyText)["outputs"][0]["data"].integers == [Int](repeating: 7, count: 20))
            #expect(try held(gateway) == 1)
            socket.send(request("none", of: 8, count: 20))
            #expect(try #require(try reader.response()).status == 200)
            socket.close()
            try othersPass(gateway)
            try resume(gateway)
        }

        @Test func whatAStreamLeavesStays() throws {
            let gateway = try Gateway(configuration(["  routing: { default_timeout_ms: 200 }"]))
            let client = try gateway.http2()
            let body = "{\"inputs\":[{\"name\":\"x\",\"datatype\":\"INT64\",\"shape\":[1,2],\"data\":[1,2]}]}"
            for (stream, size) in [(UInt32(1), body.utf8.count), (3, nil)] {
                let length = size.map { [("content-length", "\($0)")] } ?? []
                client.request(
                    stream, "POST", "/v2/models/m/infer", fields: length + [("suspended-in", "backend")], ends: false)
                client.send(HTTP2Frame(.data, flags: 1, stream: stream, bytes(body)))
                try waitUntil("it is suspended") { try count(gateway, "waiting_total") == (stream == 1 ? 1 : 2) }
                if stream == 1 {
                    #expect(try client.answer(1).status == 504)
                } else {
                    client.send(HTTP2Frame(.resetStream, stream: 3, HTTP2Frame.word(8)))
                }
                try waitUntil("it is over") { try held(gateway) == (stream == 1 ? 1 : 2) }
            }
            try othersPass(gateway)
            client.socket.close()
            try resume(gateway)
        }

        /// The members of a batch are answered; what was merged stays, and the names that it has of its first member.
        @Test func aBatchStaysWithoutItsMembers() throws {
            var configuration = configuration(["  routing: { default_timeout_ms: 300 }"])
            configuration.batcher = "size-or-delay"
            configuration.models += ["    batching: { max_batch_size: 2, max_delay_ms: 10000 }"]
            let gateway = try Gateway(configuration)
            let sockets = try (0..<2).map { _ in try gateway.connect() }
            for socket in sockets { socket.send(request("batch")) }
            for socket in sockets { #expect(try #require(try MessageReader(socket).response()).status == 504) }
            try waitUntil("the batch is over") { try held(gateway) == 1 }
            for socket in sockets { socket.close() }
            for value in 2...9 {
                let pair = try (0..<2).map { _ in try gateway.connect() }
                for socket in pair { socket.send(request("none", of: value)) }
                for socket in pair { #expect(try #require(try MessageReader(socket).response()).status == 200) }
            }
            let rounds = try count(gateway, "rounds_total")
            try waitUntil("the plugin has looked") { try count(gateway, "rounds_total") >= rounds + 2 }
            try resume(gateway)
        }

        /// Neither the client that leaves, nor the one that is cut with its generation, keeps it from being destroyed;
        /// and the plugin's thread may look until then.
        @Test func aReloadDoesNotWaitForAPluginThatNeverResumes() throws {
            let gateway = try Gateway(configuration(["  reload: { drain_timeout_ms: 200 }"]))
            let sockets = try (0..<2).map { _ in try gateway.connect() }
            for socket in sockets { socket.send(request("backend")) }
            try waitUntil("they are suspended") { try count(gateway, "waiting_total") == 2 }
            sockets[0].close()
            try waitUntil("one is over") { try held(gateway) == 1 }
            #expect(try gateway.reload().status == 0)
            #expect(try #require(try MessageReader(sockets[1]).response()).status == 503)
            try othersPass(gateway)
            try waitUntil("the old generation has left") { try gateway.metric("sluice_generations_live") == 1 }
            try waitUntil("what it had is given back") { try held(gateway) == 0 }
            #expect(try count(gateway, "destroyed_total") == 3)
            sockets[1].close()
            try waitUntil("no buffer is left") { try gateway.metric("sluice_buffers_in_use") == 0 }
            #expect(try count(gateway, "changed_total") == 0)
        }

        @Test func aStopDoesNotWaitForAPluginThatNeverResumes() throws {
            let gateway = try Gateway(configuration())
            let socket = try gateway.connect()
            socket.send(request("backend"))
            try waitUntil("it is suspended") { try count(gateway, "waiting_total") == 1 }
            socket.close()
            try waitUntil("it is over") { try held(gateway) == 1 }
            #expect(try gateway.stop() == 0)
            #expect(!gateway.log.contains("changed"))
        }

        /// Suspends as many in `call` as it may hold, half as many as connections.
        private func hold(_ call: String, _ gateway: Gateway) throws {
            for turn in 1...4 {
                let socket = try gateway.connect()
                socket.send(request(call))
                try waitUntil("it is suspended") { try count(gateway, "waiting_total") == Double(turn) }
                socket.close()
                try waitUntil("it is over") { try held(gateway) == Double(turn) }
            }
        }

        /// Those whose turn that plugin is not are served.
        @Test(arguments: ["backend", "filter"]) func onePluginHoldsSoManyAtMost(call: String) throws {
            var configuration = configuration()
            configuration.serverKeys = ["max_connections: 8"]
            configuration.models += ["  other:", "    versions:", "      \"1\": { backend: linear-model }"]
            configuration.models.insert("    filters: [ borrowing ]", at: 1)
            configuration.filters = []
            configuration.router = nil
            if call == "filter" {
                configuration.models[3] = configuration.models[3].replacing("borrowing", with: "linear-model")
            }
            let gateway = try Gateway(configuration)
            try hold(call, gateway)
            let refused = try gateway.exchange(request("none"))
            #expect(refused.status == 503)
            #expect(refused.field("retry-after") == "1")
            #expect(try gateway.get("/v2/models/other/ready").status == 200)
            try directory.write("go", "")
            try waitUntil("all is given back") { try held(gateway) == 0 }
            // One of another model's number of features, or its answer.
            #expect(try gateway.exchange(request("none")).status == (call == "filter" ? 400 : 200))
        }

        /// An answer that another filter gives comes by it, too.
        @Test func aFilterThatHoldsSoManySeesNoAnswersEither() throws {
            let answering = CompiledPlugin.filter(
                "answering", callbacks: ["on_request"],
                """
                static sluice_status on_request(
                    void *instance, sluice_exchange *exchange, sluice_request *request, sluice_response *answer) {
                  (void)instance, (void)request;
                  bool found;
                  exchanges->header(context, exchange, text("answer"), &found);
                  if (!found) return SLUICE_OK;
                  answer->ready = 1;
                  return SLUICE_ANSWER;
                }
                """)
            var configuration = configuration()
            configuration.serverKeys = ["max_connections: 8"]
            configuration.plugins += [
                "  - { name: answering, library: \(try CompiledPlugin.c(answering, "answering.so", in: directory)) }"
            ]
            configuration.filters = ["answering", "borrowing"]
            let gateway = try Gateway(configuration)
            let answered = "GET /v2/models/m/ready HTTP/1.1\r\nHost: a\r\nAnswer: yes\r\n\r\n"
            #expect(try gateway.exchange(answered).status == 200)
            try hold("filter", gateway)
            #expect(try gateway.exchange(answered).status == 503)
            try directory.write("go", "")
            try waitUntil("all is given back") { try held(gateway) == 0 }
            #expect(try gateway.exchange(answered).status == 200)
        }

        /// A filter that resumes again and again after it was called for the second time, and a router of the same
        /// plugin that waits: it must not be called before its turn.
        @Test func anInstanceEndsItsOwnSuspensionsAlone() throws {
            let gateway = try Gateway(configuration(["  routing: { default_timeout_ms: 300 }"]))
            #expect(try gateway.exchange(request("eager-filter, router")).status == 504)
            #expect(try count(gateway, "waiting_total") == 2)
            #expect(try count(gateway, "repeated_total") == 1)
            try resume(gateway)
        }
    }
}
