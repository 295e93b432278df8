import Foundation
import Testing

extension EndToEnd.Fleets {
    /// What a fleet's limits are when something becomes of what Redis holds.
    @Suite(.enabled(if: RedisServer.wanted)) struct Memory {
        private typealias Fleets = EndToEnd.Fleets

        private static func failures(_ gateway: Gateway) throws -> Double {
            try gateway.metric("sluice_plugin_rate_limit_redis_failures_total")
        }

        private static func gateway(
            _ redis: RedisServer, _ backend: ScriptedBackend, limit: String, _ more: String = ""
        ) throws -> Gateway {
            let gateway = try Gateway(
                Fleets.configuration(backend.endpoint, limit, redis: Fleets.redis(redis.port, more)))
            try waitUntil("Redis is connected") { try Fleets.connected(gateway) == 1 }
            return gateway
        }

        /// Over a connection that stays: nobody tells the gateways but Redis' answers.
        @Test func whatRedisForgetsItIsToldAgain() throws {
            let (redis, backend) = (try RedisServer(), try ScriptedBackend.ordinary())
            let gateways = try (0..<2).map { _ in
                try Self.gateway(redis, backend, limit: "{ name: all, requests: 20, per: day }")
            }
            #expect(try Fleets.passes(gateways[0], 20) == 20)
            try Fleets.awaitRounds(gateways[0])
            for round in 1...3 {
                try redis.command("FLUSHALL")
                try Fleets.awaitRounds(gateways[0], gateways[1])
                // Who is refused asks how it stands. What the other grants before it knows is a debt.
                _ = try Fleets.passes(gateways[1], 1)
                _ = try Fleets.passes(gateways[0], 1)
                try Fleets.awaitRounds(gateways[0], gateways[1])
                #expect(try gateways.map { try Fleets.passes($0, 20) } == [0, 0], "round \(round)")
            }
            #expect(try gateways.map(Self.failures) == [0, 0])
        }

        /// Over a new connection, or to a Redis that has forgotten all, gateways tell all their buckets.
        @Test func whatIsNotSharedStaysSo() throws {
            let (redis, backend) = (try RedisServer(), try ScriptedBackend.ordinary())
            let limit = "{ name: own, shared: false, requests: 10, per: day }, { name: all, requests: 100, per: day }"
            let gateways = try (0..<2).map { _ in try Self.gateway(redis, backend, limit: limit) }
            #expect(try gateways.map { try Fleets.passes($0, 1) } == [1, 1])
            #expect(try Fleets.passes(gateways[0], 20) == 9)
            // Who tells first hears nothing of the other's: it is chance who that is.
            for _ in 0..<10 {
                try redis.command("FLUSHALL")
                try Fleets.awaitRounds(gateways[0], gateways[1])
            }
            #expect(try Fleets.passes(gateways[1], 20) == 9)
        }

        @Test func aNameWithAnotherKindOfValueIsWrittenOver() throws {
            let (redis, backend) = (try RedisServer(), try ScriptedBackend.ordinary())
            let gateway = try Self.gateway(redis, backend, limit: "{ name: all, requests: 20, per: day }")
            #expect(try Fleets.passes(gateway, 5) == 5)
            try Fleets.awaitRounds(gateway)
            let bucket = try #require(try redis.buckets().first)
            try redis.command("DEL \(bucket)\r\nLPUSH \(bucket) it")
            #expect(try Fleets.passes(gateway, 5) == 5)
            try Fleets.awaitRounds(gateway)
            #expect(try redis.command("TYPE \(bucket)").contains("string"))
            #expect(try Self.failures(gateway) == 0)
        }

        /// A user with the rights that the page names, and one without one of them.
        @Test func theRightsThatAreNamedAreEnough() throws {
            let (redis, backend) = (try RedisServer(), try ScriptedBackend.ordinary())
            let rights = "~{sluice-rate-limit}:* +ping +eval +time +get +set"
            try redis.command("ACL SETUSER sluice on >s3cret \(rights)")
            let limit = "{ name: all, requests: 100, per: 31 }"
            let one = try Self.gateway(redis, backend, limit: limit, ", username: sluice, password: s3cret")
            let other = try Self.gateway(redis, backend, limit: limit, ", username: sluice, password: s3cret")
            #expect(try Fleets.passes(one, 20) == 20)
            try Fleets.awaitRounds(one)
            #expect(try Self.failures(one) == 0)
            try redis.command("ACL SETUSER sluice -get")
            #expect(try Fleets.passes(one, 10) == 10)
            try waitUntil("it is told") { one.log.contains("it refuses the script: ") }
            #expect(try Fleets.connected(one) == 0)
            try redis.command("ACL SETUSER sluice +get")
            try waitUntil("Redis is found again", .after(seconds: 60)) {
                try Fleets.connected(one) == 1 && Fleets.connected(other) == 1
            }
            try Fleets.awaitRounds(one)
            _ = try Fleets.passes(other, 1)
            try Fleets.awaitRounds(other)
            // 31 were taken, and what came back meanwhile is some more: each that was told twice would be missing.
            #expect(try Fleets.passes(other, 100) >= 69)
        }

        /// What a clock that is set back does to Redis: all times that it holds are an hour too far ahead.
        @Test func aClockThatIsSetBackRefusesNobody() throws {
            let (redis, backend) = (try RedisServer(), try ScriptedBackend.ordinary())
            let gateway = try Self.gateway(redis, backend, limit: "{ name: all, requests: 60, per: day }")
            #expect(try Fleets.passes(gateway, 5) == 5)
            try Fleets.awaitRounds(gateway)
            let script = """
                for _, key in ipairs(redis.call('KEYS', '*')) do \
                local value = redis.call('GET', key); \
                local head, last = string.match(value, '^(.* )(%d+)$'); \
                redis.call('SET', key, (head or '') .. string.format('%.0f', (last or value) + 90000000000)) end
                """
            try redis.command("EVAL \"\(script)\" 0")
            #expect(try Fleets.passes(gateway, 5) == 5)
            try Fleets.awaitRounds(gateway)
            #expect(try Fleets.passes(gateway, 60) == 50)
            #expect(try Self.failures(gateway) == 0)
        }

        /// Their limits have the same name by default, and the fleet's store knows no entries.
        @Test func entriesHaveBucketsOfTheirOwn() throws {
            let (redis, backend) = (try RedisServer(), try ScriptedBackend.ordinary())
            var configuration = GatewayConfiguration.web([backend.endpoint])
            configuration.filters = ["one", "other"]
            for name in configuration.filters {
                configuration.plugins += [
                    "  - name: \(name)", "    library: libRateLimit.so", "    config:",
                    "      limits: [ { requests: 10, per: day } ]", "      redis: \(Fleets.redis(redis.port))",
                ]
            }
            let gateway = try Gateway(configuration)
            #expect(try Fleets.passes(gateway, 4) == 4)
            try waitUntil("both are told") { try redis.buckets().count == 2 }
            for name in configuration.filters {
                let rounds = { try gateway.metric("sluice_plugin_\(name)_redis_rounds_total") }
                let before = try rounds()
                try waitUntil("two more rounds") { try rounds() >= before + 2 }
            }
            #expect(try Fleets.passes(gateway, 20) == 6)
        }
    }
}
