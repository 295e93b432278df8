import Foundation
import Testing

extension EndToEnd {
    /// Whose places count: those of the endpoints that may be picked now, and those who wait hear of every change.
    @Suite struct Places {
        /// A backend that holds what it is sent until the test lets go, and whose health is the test's to say.
        private final class Held {
            let isIll = Counter()
            let letsGo = Gate()
            let backend: ScriptedBackend

            init(answersAtOnce: Bool = false) throws {
                let (isIll, letsGo) = (isIll, letsGo)
                if answersAtOnce { letsGo.open() }
                backend = try ScriptedBackend { connection, request in
                    switch request.target {
                    case "/health": connection.answer(isIll.value > 0 ? 500 : 200)
                    case "/fail" where isIll.value > 0: connection.answer(500)
                    default:
                        _ = letsGo.wait()
                        connection.answer()
                    }
                }
            }

            var requests: [String] { backend.requests.map(\.target).filter { $0 != "/health" } }
        }

        private static let check =
            "    health_check: { path: /health, interval_ms: 100, timeout_ms: 5000, unhealthy_after: 1 }"

        private func configuration(
            _ held: [Held], connections: Int, gateway: [String] = [], model: [String] = []
        ) -> GatewayConfiguration {
            var configuration = GatewayConfiguration.web(
                held.map(\.backend.endpoint), version: ", max_connections: \(connections)")
            configuration.balancer = "round-robin"
            configuration.gateway = gateway
            configuration.models += model
            return configuration
        }

        private func send(_ gateway: Gateway, _ target: String = "/") throws -> Socket {
            let socket = try gateway.connect()
            socket.send("GET \(target) HTTP/1.1\r\nHost: a\r\n\r\n")
            return socket
        }

        private func waitFor(_ gateway: Gateway, depth: Int) throws {
            try waitUntil("\(depth) wait") { try gateway.metric("sluice_queue_depth", ["web"]) == Double(depth) }
        }

        /// What stands on an endpoint that is out takes no place of the others.
        @Test func aFrozenEndpointHoldsNobodyUp() throws {
            let (frozen, well) = (try Held(), try Held(answersAtOnce: true))
            let gateway = try Gateway(configuration([frozen, well], connections: 2, model: [Self.check]))
            var stuck: [Socket] = []
            // In turn: half of them.
            for turn in 1...2 {
                stuck.append(try send(gateway))
                stuck.append(try send(gateway))
                try waitUntil("one more is stuck") { frozen.requests.count == turn }
            }
            frozen.isIll.add(1)
            try waitUntil("it is out") { try gateway.metric("sluice_endpoint_healthy", [frozen.backend.endpoint]) == 0 }
            #expect(try gateway.metric("sluice_pool_under_way", ["web"]) == 2)
            for _ in 0..<6 { #expect(try gateway.get("/").status == 200) }
            // No more at a time than the other one bears.
            #expect(frozen.requests.count == 2)
            frozen.letsGo.open()
            for socket in stuck { #expect(try MessageReader(socket).response()?.status == 200) }
            #expect(try gateway.metric("sluice_pool_under_way", ["web"]) == 0)
        }

        /// The bound of those that are left holds nevertheless.
        @Test func besideAFrozenEndpointTheOthersAreNotOverrun() throws {
            let (frozen, busy) = (try Held(), try Held())
            let gateway = try Gateway(configuration([frozen, busy], connections: 1, model: [Self.check]))
            let stuck = try [send(gateway), send(gateway)]
            try waitUntil("both are busy") { frozen.requests.count + busy.requests.count == 2 }
            frozen.isIll.add(1)
            try waitUntil("it is out") { try gateway.metric("sluice_endpoint_healthy", [frozen.backend.endpoint]) == 0 }
            let waiting = try send(gateway)
            try waitFor(gateway, depth: 1)
            #expect(busy.requests.count == 1)
            busy.letsGo.open()
            #expect(try MessageReader(waiting).response()?.status == 200)
            #expect(busy.requests.count == 2)
            frozen.letsGo.open()
            for socket in stuck { #expect(try MessageReader(socket).response()?.status == 200) }
        }

        /// What another model has on an endpoint takes its places, too, and its end is heard of by those who wait.
        @Test func anotherModelsEndMakesRoomBesideAFrozenEndpoint() throws {
            let frozen = try Held()
            let (first, second) = (Gate(), Gate())
            let shared = try ScriptedBackend { connection, request in
                if request.target == "/first" { _ = first.wait() }
                if request.target == "/other" { _ = second.wait() }
                connection.answer()
            }
            var configuration = GatewayConfiguration.web(
                [frozen.backend.endpoint, shared.endpoint], version: ", max_connections: 1")
            configuration.balancer = "round-robin"
            configuration.routes = "[ { prefix: /other, model: other }, { prefix: /, model: web } ]"
            configuration.models += [
                Self.check, "  other:",
                "    versions: { \"1\": { endpoints: [ \"\(shared.endpoint)\" ], protocol: passthrough } }",
            ]
            let gateway = try Gateway(configuration)
            let asked = { shared.requests.map(\.target).filter { $0 != "/health" } }
            // One each, whichever has its turn first.
            let sockets = try [send(gateway, "/first"), send(gateway, "/first")]
            try waitUntil("both are busy") { frozen.requests.count == 1 && asked() == ["/first"] }
            frozen.isIll.add(1)
            try waitUntil("it is out") { try gateway.metric("sluice_endpoint_healthy", [frozen.backend.endpoint]) == 0 }
            let other = try send(gateway, "/other")
            try waitUntil("the other model's request is there") { asked().count == 2 }
            let waiting = try send(gateway)
            try waitFor(gateway, depth: 1)
            first.open()
            try waitUntil("the first has its answer") { try gateway.metric("sluice_pool_under_way", ["web"]) == 1 }
            #expect(asked().count == 2)
            second.open()
            #expect(try MessageReader(waiting).response()?.status == 200)
            #expect(try MessageReader(other).response()?.status == 200)
            frozen.letsGo.open()
            for socket in sockets { #expect(try MessageReader(socket).response()?.status == 200) }
        }

        @Test func whenNobodyIsLeftThoseWhoWaitHearSo() throws {
            let held = try Held()
            let gateway = try Gateway(configuration([held], connections: 1, model: [Self.check]))
            let stuck = try send(gateway)
            try waitUntil("it is busy") { held.requests.count == 1 }
            let waiting = try (0..<3).map { _ in try send(gateway) }
            try waitFor(gateway, depth: 3)
            held.isIll.add(1)
            for socket in waiting {
                let answer = try MessageReader(socket).response()
                #expect(answer?.status == 503 && answer?.bodyText.contains("no healthy endpoint") == true)
            }
            held.letsGo.open()
            #expect(try MessageReader(stuck).response()?.status == 200)
        }

        /// The end of an ejection is nothing that anybody tells: the other endpoint stays busy all the time.
        @Test(arguments: [
            "  outlier_detection: { consecutive_errors: 1, base_ejection_ms: 500, max_ejected_percent: 50, "
                + "minimum_endpoints: 2, interval_ms: 100000 }",
            "  circuit_breaker: { failure_threshold: 1, reset_timeout_sec: 0.5, jitter_percent: 0, "
                + "failures: { statuses: [ 500 ] } }",
        ])
        func whoComesBackServesThoseWhoWait(_ policy: String) throws {
            let (ill, busy) = (try Held(answersAtOnce: true), try Held())
            ill.isIll.add(1)
            let gateway = try Gateway(configuration([ill, busy], connections: 1, gateway: [policy]))
            let stuck = try send(gateway, "/busy")
            try waitUntil("one is busy") { ill.requests.count + busy.requests.count == 1 }
            // Whichever had the first: the other one's place is all that is free.
            if ill.requests.count == 1 { #expect(try MessageReader(stuck).response()?.status == 200) }
            let second = ill.requests.count == 1 ? try send(gateway, "/busy") : stuck
            try waitUntil("the other is busy") { busy.requests.count == 1 }
            #expect(try gateway.get("/fail").status == 500)
            ill.isIll.add(-1)
            let before = ill.requests.count
            let waiting = try send(gateway, "/waits")
            #expect(try MessageReader(waiting).response()?.status == 200)
            #expect(ill.requests.count == before + 1 && busy.requests.count == 1)
            busy.letsGo.open()
            #expect(try MessageReader(second).response()?.status == 200)
        }

        /// Answers that an endpoint of the old set still owes take no place of the new one's.
        @Test func anEndpointThatHasLeftHoldsNoPlace() throws {
            let (old, new) = (try Held(), try Held(answersAtOnce: true))
            var configuration = configuration([old], connections: 1)
            let gateway = try Gateway(configuration)
            let stuck = try send(gateway)
            try waitUntil("it is busy") { old.requests.count == 1 }
            configuration.models = configuration.models.map {
                $0.replacing(old.backend.endpoint, with: new.backend.endpoint)
            }
            try gateway.write(configuration)
            try #require(try gateway.reload().status == 0)
            for _ in 0..<3 { #expect(try gateway.get("/").status == 200) }
            #expect(new.requests.count == 3 && old.requests.count == 1)
            old.letsGo.open()
            #expect(try MessageReader(stuck).response()?.status == 200)
            #expect(try gateway.metric("sluice_pool_under_way", ["web"]) == 0)
        }

        /// Each endpoint of HTTP/2 bears what it has said itself, and one that never said anything is not the measure.
        @Test(arguments: [true, false]) func callsHaveThePlacesOfTheirOwnEndpoint(_ deadFirst: Bool) throws {
            let together = Counter()
            let letsGo = Gate()
            let backend = try ScriptedBackend.http2(settings: [(3, 8)]) { _, peer in
                var held: [UInt32] = []
                while let stream = try peer.nextRequest() {
                    if peer.answers[stream]?.field(":path") == "/quick" {
                        peer.respond(stream, 200, "ok")
                        continue
                    }
                    held.append(stream)
                    if together.increment() == 8 {
                        for stream in held { peer.respond(stream, 200, "ok") }
                        letsGo.open()
                    }
                }
            }
            let dead = "grpc://127.0.0.1:\(try Ports.refusing())"
            let endpoints = deadFirst ? [dead, backend.grpcEndpoint] : [backend.grpcEndpoint, dead]
            var configuration = GatewayConfiguration.web(endpoints, version: ", max_connections: 1")
            configuration.models.append("    health_check: { type: tcp, interval_ms: 50, unhealthy_after: 1 }")
            // One connection for all of them.
            configuration.workers = 1
            let gateway = try Gateway(configuration)
            try waitUntil("one is known to be dead") { try gateway.metric("sluice_endpoint_healthy", [dead]) == 0 }
            #expect(try gateway.get("/quick").status == 200)
            let sockets = try (0..<8).map { _ in try send(gateway) }
            // None is answered before all of them are there.
            for socket in sockets { #expect(try MessageReader(socket).response()?.status == 200) }
            #expect(letsGo.wait())
        }
    }
}
