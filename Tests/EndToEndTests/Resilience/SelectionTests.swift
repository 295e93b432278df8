import Foundation
import Testing

extension EndToEnd {
    /// Which endpoints a balancer is shown: by zone, by how long they have been there, and by the gateway's number.
    @Suite struct Selection {
        /// One worker, so that what is counted is in one order.
        static func configuration(
            _ endpoints: [String], gateway: [String] = [], model: [String] = [], balancer: String = "round-robin"
        ) -> GatewayConfiguration {
            var configuration = GatewayConfiguration.web([])
            configuration.workers = 1
            configuration.balancer = balancer
            configuration.plugins = [
                "  - { name: weighted-round-robin, library: libWeightedRoundRobin.so }",
                "  - { name: power-of-two, library: libPowerOfTwo.so }",
                "  - { name: ring-hash, library: libRingHash.so, config: { hash_on: { header: x-key } } }",
            ]
            configuration.gateway = gateway.map { "  " + $0 }
            let list = endpoints.joined(separator: ", ")
            configuration.models =
                ["  web:", "    versions:", "      \"1\": { endpoints: [ \(list) ], protocol: passthrough }"]
                + model.map { "    " + $0 }
            return configuration
        }

        static func entry(_ backend: ScriptedBackend, _ more: String = "") -> String {
            "{ address: \"\(backend.endpoint)\"\(more) }"
        }

        /// Sends so many requests, each with a key of its own, which must all be served.
        static func send(_ count: Int, to gateway: Gateway) throws {
            for index in 0..<count { #expect(try gateway.get("/", fields: ["x-key: \(index)"]).status == 200) }
        }

        @Test func weightsOfTheFileReachTheBalancer() throws {
            let (heavy, light) = (try ScriptedBackend.ordinary(), try ScriptedBackend.ordinary())
            let gateway = try Gateway(
                Self.configuration(
                    [Self.entry(heavy, ", weight: 3"), Self.entry(light)], balancer: "weighted-round-robin"))
            try Self.send(40, to: gateway)
            #expect(heavy.requests.count == 30)
            #expect(light.requests.count == 10)
        }

        @Test func theOwnZoneServesWhileItIsWell() throws {
            let (near, far) = (try ScriptedBackend.ordinary(), try ScriptedBackend.ordinary())
            let gateway = try Gateway(
                Self.configuration(
                    [Self.entry(far, ", zone: b"), Self.entry(near, ", zone: a")],
                    gateway: ["zone: a", "zone_preference: { }"],
                    model: ["health_check: { type: tcp, interval_ms: 50, unhealthy_after: 1, healthy_after: 1 }"]))
            // Probes connect and ask for nothing.
            try Self.send(20, to: gateway)
            #expect(near.requests.count == 20)
            #expect(far.requests.isEmpty)
            near.stop()
            try waitUntil("the near one is out") { gateway.log.contains("endpoint is unhealthy") }
            try Self.send(20, to: gateway)
            #expect(far.requests.count == 20)
        }

        @Test func requestsSpillOverInProportion() throws {
            let dead = try Ports.refusing()
            let (near, far) = (try ScriptedBackend.ordinary(), try ScriptedBackend.ordinary())
            let gateway = try Gateway(
                Self.configuration(
                    [
                        Self.entry(far, ", zone: b"), Self.entry(near, ", zone: a"),
                        "{ address: \"http://127.0.0.1:\(dead)\", zone: a }",
                    ], gateway: ["zone: a", "zone_preference: { healthy_percent: 80 }"],
                    model: ["health_check: { type: tcp, interval_ms: 50, unhealthy_after: 1, healthy_after: 1 }"]))
            try waitUntil("the dead one is out") { gateway.log.contains("endpoint is unhealthy") }
            let before = near.requests.count
            try Self.send(80, to: gateway)
            // Half of the zone is healthy, of 80 percent that are enough.
            #expect((49...51).contains(near.requests.count - before), "\(near.requests.count - before)")
        }

        @Test func anEndpointWithoutAConnectionToSpareIsNotWaitedFor() throws {
            let gate = Gate()
            let near = try ScriptedBackend { connection in
                _ = try connection.reader.request()
                gate.wait()
                connection.answer(200, "near")
            }
            defer { gate.open() }
            let far = try ScriptedBackend.ordinary()
            var configuration = Self.configuration(
                [Self.entry(far, ", zone: b"), Self.entry(near, ", zone: a")],
                gateway: ["zone: a", "zone_preference: { }"])
            configuration.models[2] = configuration.models[2].replacingOccurrences(
                of: "protocol: passthrough", with: "protocol: passthrough, max_connections: 1")
            let gateway = try Gateway(configuration)
            let socket = try gateway.connect()
            socket.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n")
            try waitUntil("the near one is busy") { near.connectionCount == 1 }
            try Self.send(1, to: gateway)
            #expect(far.requests.count == 1)
        }

        @Test(arguments: ["round-robin", "least-request", "power-of-two", "weighted-round-robin", "ring-hash"])
        func aNewEndpointBeginsWithASmallShare(balancer: String) throws {
            let (old, new) = (try ScriptedBackend.ordinary(), try ScriptedBackend.ordinary())
            // An hour: nothing of the window passes while the test runs.
            let slow = ["slow_start: { window_ms: 3600000, minimum_percent: 10 }"]
            let gateway = try Gateway(Self.configuration([Self.entry(old)], gateway: slow, balancer: balancer))
            try Self.send(1, to: gateway)
            try gateway.write(
                Self.configuration([Self.entry(old), Self.entry(new)], gateway: slow, balancer: balancer))
            #expect(try gateway.reload().status == 0)
            try Self.send(110, to: gateway)
            // 0.1 of 1.1.
            #expect((8...11).contains(new.requests.count), "\(new.requests.count)")
        }

        @Test func endpointsThatComeTogetherAreNotHeldBack() throws {
            let (first, second) = (try ScriptedBackend.ordinary(), try ScriptedBackend.ordinary())
            let gateway = try Gateway(
                Self.configuration(
                    [Self.entry(first), Self.entry(second)], gateway: ["slow_start: { window_ms: 3600000 }"]))
            try Self.send(20, to: gateway)
            #expect(first.requests.count == 10)
            #expect(second.requests.count == 10)
        }

        @Test func gatewaysOfAFleetTakeDifferentParts() throws {
            let backends = try (0..<6).map { _ in try ScriptedBackend.ordinary() }
            for instance in 0..<3 {
                let gateway = try Gateway(
                    Self.configuration(
                        backends.map { Self.entry($0) },
                        gateway: ["instance: \(instance)", "subset: { size: 2 }"]))
                try Self.send(4, to: gateway)
            }
            // Three gateways of two endpoints each make a round: each endpoint has one gateway.
            #expect(backends.map(\.requests.count) == [2, 2, 2, 2, 2, 2])
        }
    }
}
