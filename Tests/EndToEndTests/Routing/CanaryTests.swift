import Foundation
import Testing

extension EndToEnd {
    /// A canary that grows by reloads, under two workers.
    @Suite struct CanaryRollout {
        private static let users = (0..<400).map { "user-\($0)" }

        private static func configuration(_ backends: [ScriptedBackend], _ weights: [Int]) -> GatewayConfiguration {
            var configuration = GatewayConfiguration.web([])
            configuration.plugins = [
                "  - { name: canary, library: libCanary.so, config: { sticky_header: x-session-id } }"
            ]
            configuration.router = "canary"
            configuration.models = ["  web:", "    versions:"]
            for (index, backend) in backends.enumerated() {
                configuration.models.append(
                    "      \"\(index + 1)\": { endpoints: [ \"\(backend.endpoint)\" ], protocol: passthrough, "
                        + "weight: \(weights[index]) }")
            }
            return configuration
        }

        private static func backends() throws -> [ScriptedBackend] {
            try ["old", "new"].map { name in
                try ScriptedBackend { connection, _ in connection.answer(200, name) }
            }
        }

        /// Who answers each user, each over a connection that either worker may have.
        private func answers(_ gateway: Gateway) throws -> [String] {
            var readers: [MessageReader] = []
            for _ in 0..<8 { readers.append(MessageReader(try gateway.connect())) }
            return try Self.users.enumerated().map { index, user in
                let reader = readers[index % readers.count]
                reader.socket.send("GET / HTTP/1.1\r\nHost: a\r\nX-Session-Id: \(user)\r\n\r\n")
                let answer = try #require(try reader.response())
                #expect(answer.status == 200)
                return answer.bodyText
            }
        }

        /// The users are fixed, and what each gets follows from his name: the shares are the same in each run, and
        /// within three standard deviations of what chance would give.
        @Test func tenFiftyHundredByReload() throws {
            let backends = try Self.backends()
            let gateway = try Gateway(Self.configuration(backends, [100, 0]))
            var before = try answers(gateway)
            #expect(before.allSatisfy { $0 == "old" })
            for (percent, tolerance) in [(10, 18), (50, 30), (100, 0)] {
                try gateway.write(Self.configuration(backends, [100 - percent, percent]))
                let outcome = try gateway.reload()
                try #require(outcome.status == 0, "\(outcome)")
                let after = try answers(gateway)
                #expect(abs(after.count { $0 == "new" } - 4 * percent) <= tolerance, "\(percent) percent")
                for (user, (was, isNow)) in zip(Self.users, zip(before, after)) where was == "new" {
                    #expect(isNow == "new", "\(user) went back at \(percent) percent")
                }
                // The same by the other workers' instances, and the next time.
                #expect(try answers(gateway) == after)
                before = after
            }
            // Counts go on through reloads.
            let name = "sluice_plugin_canary_requests_total"
            let counted = try ["1", "2"].map { try gateway.metric(name, ["model=\"web\"", "version=\"\($0)\""]) }
            #expect(counted.reduce(0, +) == Double(7 * Self.users.count))
            #expect(counted[1] == Double(backends[1].requests.count))
        }

        @Test func whoSaysNothingIsSpread() throws {
            let backends = try Self.backends()
            let gateway = try Gateway(Self.configuration(backends, [1, 1]))
            let reader = MessageReader(try gateway.connect())
            for _ in 0..<200 {
                reader.socket.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                #expect(try #require(try reader.response()).status == 200)
            }
            // That one of them gets fewer than 40 of 200 has a chance of 1 in 10¹⁸.
            #expect(backends.allSatisfy { $0.requests.count >= 40 })
            #expect(try gateway.metric("sluice_plugin_canary_unkeyed_requests_total") == 200)
        }

        @Test func weightsThatSumToZeroAreRefused() throws {
            let backends = try Self.backends()
            let gateway = try Gateway(Self.configuration(backends, [90, 10]))
            try gateway.write(Self.configuration(backends, [0, 0]))
            let outcome = try gateway.reload()
            #expect(outcome.status == 1)
            let said = outcome.output + outcome.errors
            #expect(said.contains("error: plugin `canary`: the weights of the versions of model 'web' sum to zero"))
            #expect(said.contains(/plugins\.yaml:\d+:\d+: error/))
            #expect(try gateway.get("/").status == 200)
        }
    }
}
