import Foundation
import Testing

extension EndToEnd {
    /// The queue of a pool: one for all workers, the most urgent first, bounded, and what is too late leaves it.
    @Suite struct Scheduling {
        /// A backend that answers one request at a time, each when the test lets it.
        private final class Held {
            let turns = Counter()
            let together = Counter()
            let most = Counter()
            let backend: ScriptedBackend

            init() throws {
                let (turns, together, most) = (turns, together, most)
                let answered = Counter()
                backend = try ScriptedBackend { connection, _ in
                    together.add(1)
                    most.raise(to: together.value)
                    let turn = answered.increment()
                    try? waitUntil("the test lets the backend answer") { turns.value >= turn }
                    together.add(-1)
                    connection.answer()
                }
            }

            var targets: [String] { backend.requests.map(\.target) }
        }

        private func configuration(_ held: Held, _ gateway: [String] = []) -> GatewayConfiguration {
            var configuration = GatewayConfiguration.web([held.backend.endpoint], version: ", max_connections: 1")
            configuration.gateway = gateway
            configuration.plugins = [
                "  - name: priority",
                "    library: libPriority.so",
                "    config: { header: x-priority, header_limit: { unauthenticated: 0 } }",
            ]
            configuration.router = "[ priority, by-version ]"
            return configuration
        }

        /// Sends a request on a connection of its own and waits until the gateway has it in its queue.
        private func wait(_ gateway: Gateway, _ target: String, _ priority: Int, depth: Int) throws -> Socket {
            let socket = try gateway.connect()
            socket.send("GET \(target) HTTP/1.1\r\nHost: a\r\nX-Priority: \(priority)\r\n\r\n")
            try waitUntil("\(target) waits") { try gateway.metric("sluice_queue_depth", ["web"]) == Double(depth) }
            return socket
        }

        private func occupy(_ gateway: Gateway, _ held: Held) throws -> Socket {
            let socket = try gateway.connect()
            socket.send("GET /first HTTP/1.1\r\nHost: a\r\n\r\n")
            try waitUntil("the first is under way") { held.targets.count == 1 }
            return socket
        }

        @Test func workersShareTheConnectionsOfAPool() throws {
            let held = try Held()
            held.turns.add(1_000)
            var configuration = configuration(held)
            configuration.workers = 4
            let gateway = try Gateway(configuration)
            let sockets = try (0..<40).map { _ in try gateway.connect() }
            for _ in 0..<3 {
                for socket in sockets { socket.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n") }
                for socket in sockets { #expect(try MessageReader(socket).response()?.status == 200) }
            }
            #expect(held.most.value == 1)
            #expect(held.targets.count == 120)
            #expect(try gateway.metric("sluice_pool_under_way", ["web"]) == 0)
            #expect(try gateway.metric("sluice_queue_depth", ["web"]) == 0)
        }

        @Test func theMostUrgentGoFirstWhicheverWorkerTheyCameTo() throws {
            let held = try Held()
            var configuration = configuration(held, ["  queue: { ageing_ms: 0 }"])
            configuration.workers = 4
            let gateway = try Gateway(configuration)
            var sockets = [try occupy(gateway, held)]
            let priorities = [9, 0, 5, 3, 5, 0, 9, 3, 5, 1, 7, 0]
            for (index, priority) in priorities.enumerated() {
                sockets.append(try wait(gateway, "/\(index)", priority, depth: index + 1))
            }
            held.turns.add(100)
            for socket in sockets { #expect(try MessageReader(socket).response()?.status == 200) }
            let order = priorities.indices.sorted { (priorities[$0], $0) < (priorities[$1], $1) }
            #expect(held.targets == ["/first"] + order.map { "/\($0)" })
        }

        @Test func whoWaitsLongRises() throws {
            let held = try Held()
            let gateway = try Gateway(configuration(held, ["  queue: { ageing_ms: 30 }"]))
            let first = try occupy(gateway, held)
            let old = try wait(gateway, "/old", 9, depth: 1)
            // Nine levels, each after 30 ms, are behind it when the other comes: from then on the older goes first.
            let began = Date()
            try waitUntil("the old one has risen") { Date().timeIntervalSince(began) > 0.4 }
            let new = try wait(gateway, "/new", 0, depth: 2)
            held.turns.add(100)
            for socket in [first, old, new] { #expect(try MessageReader(socket).response()?.status == 200) }
            #expect(held.targets == ["/first", "/old", "/new"])
        }

        @Test func aFullQueueDropsTheLeastUrgent() throws {
            let held = try Held()
            let gateway = try Gateway(configuration(held, ["  queue: { max_size: 2, when_full: drop_lowest }"]))
            let first = try occupy(gateway, held)
            let low = try wait(gateway, "/low", 8, depth: 1)
            let middle = try wait(gateway, "/middle", 5, depth: 2)
            let high = try gateway.connect()
            high.send("GET /high HTTP/1.1\r\nHost: a\r\nX-Priority: 1\r\n\r\n")
            let dropped = try MessageReader(low).response()
            #expect(dropped?.status == 503 && dropped?.field("retry-after") != nil)
            // Nobody gives way to one who is no more urgent.
            #expect(try gateway.get("/equal", fields: ["X-Priority: 5"]).status == 503)
            held.turns.add(100)
            for socket in [first, middle, high] { #expect(try MessageReader(socket).response()?.status == 200) }
            #expect(held.targets == ["/first", "/high", "/middle"])
            #expect(try gateway.metric("sluice_rejected_total", ["queue_dropped"]) == 1)
            #expect(try gateway.metric("sluice_rejected_total", ["queue_full"]) == 1)
        }

        @Test func underLoadTheLessUrgentAreRefusedFirst() throws {
            let held = try Held()
            let shedding = "load_shedding: { start_percent: 10, retry_after_sec: 3, max_retry_after_sec: 20 }"
            let gateway = try Gateway(configuration(held, ["  queue: { max_size: 10, \(shedding) }"]))
            var sockets = [try occupy(gateway, held)]
            for index in 0..<6 { sockets.append(try wait(gateway, "/\(index)", 0, depth: index + 1)) }
            // More than half of the way to full: five of the nine priorities are given up.
            let refused = try gateway.get("/background", fields: ["X-Priority: 9"])
            #expect(refused.status == 503)
            let after = Int(refused.field("retry-after") ?? "") ?? 0
            #expect((3...20).contains(after))
            sockets.append(try wait(gateway, "/urgent", 2, depth: 7))
            held.turns.add(100)
            for socket in sockets { #expect(try MessageReader(socket).response()?.status == 200) }
            #expect(!held.targets.contains("/background"))
            #expect(try gateway.metric("sluice_rejected_total", ["shed"]) == 1)
        }

        @Test func whatIsTooLateOrGivenUpReachesNoEndpoint() throws {
            let held = try Held()
            var configuration = configuration(held, ["  routing: { default_timeout_ms: 20000 }"])
            configuration.workers = 4
            let gateway = try Gateway(configuration)
            let first = try occupy(gateway, held)
            var left: [Socket] = []
            for index in 0..<6 { left.append(try wait(gateway, "/left\(index)", 5, depth: index + 1)) }
            for socket in left { socket.close() }
            try waitUntil("nobody waits") { try gateway.metric("sluice_queue_depth", ["web"]) == 0 }
            let stays = try wait(gateway, "/stays", 5, depth: 1)
            held.turns.add(100)
            for socket in [first, stays] { #expect(try MessageReader(socket).response()?.status == 200) }
            #expect(held.targets == ["/first", "/stays"])
            #expect(try gateway.metric("sluice_pool_under_way", ["web"]) == 0)
        }

        @Test func aDeadlineThatPassesInTheQueueIs504() throws {
            let ends = Gate()
            // The first answer has begun, so that no deadline ends it, and takes until the test lets it end.
            let backend = try ScriptedBackend { connection, request in
                guard request.target == "/0" else { return connection.answer() }
                connection.socket.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
                _ = ends.wait()
                connection.socket.send("ok")
            }
            var configuration = GatewayConfiguration.web([backend.endpoint], version: ", max_connections: 1")
            configuration.gateway = ["  routing: { default_timeout_ms: 300 }"]
            configuration.workers = 3
            let gateway = try Gateway(configuration)
            let sockets = try (0..<5).map { _ in try gateway.connect() }
            for (index, socket) in sockets.enumerated() {
                socket.send("GET /\(index) HTTP/1.1\r\nHost: a\r\n\r\n")
                if index == 0 { try waitUntil("the first is under way") { backend.requests.count == 1 } }
            }
            for socket in sockets.dropFirst() { #expect(try MessageReader(socket).response()?.status == 504) }
            ends.open()
            #expect(try MessageReader(sockets[0]).response()?.status == 200)
            #expect(try gateway.get("/after").status == 200)
            #expect(backend.requests.map(\.target) == ["/0", "/after"])
        }

        @Test func whoWaitsOutlivesAReload() throws {
            let held = try Held()
            var configuration = configuration(held, ["  queue: { max_size: 50, ageing_ms: 0 }"])
            configuration.workers = 3
            let gateway = try Gateway(configuration)
            var sockets = [try occupy(gateway, held)]
            for index in 0..<4 { sockets.append(try wait(gateway, "/old\(index)", 5, depth: index + 1)) }
            configuration.gateway = ["  queue: { max_size: 60, ageing_ms: 0 }"]
            try gateway.write(configuration)
            #expect(try gateway.reload().status == 0)
            for index in 0..<4 {
                sockets.append(try wait(gateway, "/new\(index)", index == 3 ? 0 : 5, depth: index + 5))
            }
            held.turns.add(100)
            for socket in sockets { #expect(try MessageReader(socket).response()?.status == 200) }
            #expect(
                held.targets
                    == ["/first", "/new3", "/old0", "/old1", "/old2", "/old3", "/new0", "/new1", "/new2"])
        }

        @Test func whoWaitsForAVersionThatIsGoneStillTakesTurns() throws {
            let held = try Held()
            var configuration = configuration(held)
            configuration.workers = 1
            let gateway = try Gateway(configuration)
            var sockets = [try occupy(gateway, held)]
            for index in 0..<4 { sockets.append(try wait(gateway, "/\(index)", 5, depth: index + 1)) }
            configuration.models = configuration.models.map { $0.replacing("\"1\":", with: "\"2\":") }
            try gateway.write(configuration)
            try #require(try gateway.reload().status == 0)
            held.turns.add(1)
            #expect(try MessageReader(sockets[0]).response()?.status == 200)
            try waitUntil("the next is under way") { held.targets.count >= 2 }
            held.turns.add(100)
            for socket in sockets.dropFirst() { #expect(try MessageReader(socket).response()?.status == 200) }
            #expect(held.most.value == 1)
            #expect(held.targets == ["/first", "/0", "/1", "/2", "/3"])
        }

        @Test func tenantsShareByTheirWeights() throws {
            let held = try Held()
            var configuration = configuration(held, ["  queue: { ageing_ms: 0, tenant_weights: { gold: 3 } }"])
            configuration.plugins.append("  - name: api-key")
            configuration.plugins.append("    library: libApiKey.so")
            configuration.plugins.append(
                "    config: { keys: [ { key: g, tenant: gold }, { key: t, tenant: tin } ] }")
            configuration.filters = ["api-key"]
            configuration.workers = 3
            let gateway = try Gateway(configuration)
            var sockets: [Socket] = []
            func send(_ target: String, _ key: String) throws {
                let socket = try gateway.connect()
                socket.send("GET \(target) HTTP/1.1\r\nHost: a\r\nX-Api-Key: \(key)\r\n\r\n")
                sockets.append(socket)
            }
            try send("/first", "t")
            try waitUntil("the first is under way") { held.targets.count == 1 }
            // The tenant with less to say has come with all that it has, before the other.
            for index in 0..<12 {
                try send("/tin", "t")
                try waitUntil("it waits") { try gateway.metric("sluice_queue_depth", ["web"]) == Double(index + 1) }
            }
            for index in 0..<12 {
                try send("/gold", "g")
                try waitUntil("it waits") { try gateway.metric("sluice_queue_depth", ["web"]) == Double(index + 13) }
            }
            held.turns.add(1_000)
            for socket in sockets { #expect(try MessageReader(socket).response()?.status == 200) }
            // Of the first twelve that went, three of four are gold's, but for one at the border.
            let golden = held.targets.dropFirst().prefix(12).count { $0 == "/gold" }
            #expect((8...10).contains(golden), "\(held.targets)")
        }

        // MARK: The limit

        @Test func aFixedLimitHoldsOverAllWorkersAndEndpoints() throws {
            let together = Counter()
            let most = Counter()
            let backends = try (0..<3).map { _ in
                try ScriptedBackend { connection, _ in
                    together.add(1)
                    most.raise(to: together.value)
                    pauseBetweenLooks(milliseconds: 5)
                    together.add(-1)
                    connection.answer()
                }
            }
            var configuration = GatewayConfiguration.web(backends.map(\.endpoint))
            configuration.gateway = ["  concurrency_limit: { algorithm: fixed, limit: 2 }"]
            configuration.workers = 4
            let gateway = try Gateway(configuration)
            let sockets = try (0..<24).map { _ in try gateway.connect() }
            for socket in sockets { socket.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n") }
            for socket in sockets { #expect(try MessageReader(socket).response()?.status == 200) }
            #expect(most.value <= 2)
            #expect(try gateway.metric("sluice_pool_limit", ["web"]) == 2)
        }

        @Test func theLimitSinksWhenEndpointsHaveTooMuch() throws {
            let fails = Counter()
            let backend = try ScriptedBackend { connection, _ in connection.answer(fails.value > 0 ? 503 : 200) }
            var configuration = GatewayConfiguration.web([backend.endpoint])
            configuration.gateway = [
                "  concurrency_limit: { limit: 100, minimum: 7, window_ms: 1, minimum_requests: 1 }"
            ]
            let gateway = try Gateway(configuration)
            #expect(try gateway.get("/").status == 200)
            #expect(try gateway.metric("sluice_pool_limit", ["web"]) >= 90)
            fails.add(1)
            try waitUntil("the limit has sunk") {
                _ = try gateway.get("/")
                return try gateway.metric("sluice_pool_limit", ["web"]) == 7
            }
        }

        /// One request at a time is all that a limit of one lets through: that has to count as full.
        @Test func aSmallLimitGrows() throws {
            let backend = try ScriptedBackend.ordinary()
            var configuration = GatewayConfiguration.web([backend.endpoint])
            configuration.gateway = ["  concurrency_limit: { limit: 1, minimum: 1, window_ms: 1, minimum_requests: 1 }"]
            let gateway = try Gateway(configuration)
            try waitUntil("the limit has grown") {
                _ = try gateway.get("/")
                return try gateway.metric("sluice_pool_limit", ["web"]) >= 2
            }
        }

        /// Attempts of the configuration before, which had a limit, end after it is gone.
        @Test func aLimitThatIsTakenAwayStaysAway() throws {
            let held = try Held()
            var configuration = GatewayConfiguration.web([held.backend.endpoint])
            configuration.gateway = ["  concurrency_limit: { limit: 20, window_ms: 1, minimum_requests: 1 }"]
            configuration.workers = 1
            let gateway = try Gateway(configuration)
            let sockets = try (0..<10).map { _ in try gateway.connect() }
            for socket in sockets { socket.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n") }
            try waitUntil("all are under way") { held.targets.count == sockets.count }
            let limited = try gateway.metric("sluice_pool_limit", ["web"])
            #expect(limited == 20)
            configuration.gateway = []
            try gateway.write(configuration)
            try #require(try gateway.reload().status == 0)
            // Each answer comes in a window of its own.
            for turn in 1...sockets.count {
                held.turns.add(1)
                try waitUntil("one more is answered") {
                    try gateway.metric("sluice_pool_under_way", ["web"]) == Double(sockets.count - turn)
                }
                pauseBetweenLooks(milliseconds: 2)
            }
            let unlimited = try gateway.metric("sluice_pool_limit", ["web"])
            #expect(unlimited != limited && unlimited >= 0)
            configuration.gateway = ["  concurrency_limit: { algorithm: fixed, limit: 3 }"]
            try gateway.write(configuration)
            try #require(try gateway.reload().status == 0)
            try waitUntil("a limit is back") { try gateway.metric("sluice_pool_limit", ["web"]) == 3 }
        }

        @Test func callsOfHTTP2WaitForTheStreamsOfTheirEndpoint() throws {
            let together = Counter()
            let most = Counter()
            let backend = try ScriptedBackend.http2(settings: [(3, 2)]) { _, peer in
                while let stream = try peer.nextRequest() {
                    together.add(1)
                    most.raise(to: together.value)
                    pauseBetweenLooks(milliseconds: 5)
                    together.add(-1)
                    peer.respond(stream, 200, "ok")
                }
            }
            var configuration = GatewayConfiguration.web([backend.grpcEndpoint], version: ", max_connections: 1")
            configuration.workers = 4
            let gateway = try Gateway(configuration)
            let sockets = try (0..<32).map { _ in try gateway.connect() }
            for _ in 0..<2 {
                for socket in sockets { socket.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n") }
                for socket in sockets { #expect(try MessageReader(socket).response()?.status == 200) }
            }
            #expect(most.value <= 2)
            #expect(try gateway.metric("sluice_pool_under_way", ["web"]) == 0)
        }
    }
}
