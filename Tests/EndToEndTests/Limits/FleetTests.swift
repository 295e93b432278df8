import Foundation
import Testing
import TokenFormat
import TokenSigning

extension EndToEnd {
    /// Gateways that share their limits by Redis, a real one.
    @Suite(.enabled(if: RedisServer.wanted)) struct Fleets {
        static func configuration(
            _ endpoint: String, _ limits: String, redis: String
        ) -> GatewayConfiguration {
            var configuration = GatewayConfiguration.web([endpoint])
            configuration.filters = ["rate-limit"]
            configuration.plugins = [
                "  - name: rate-limit", "    library: libRateLimit.so", "    config:", "      limits: [ \(limits) ]",
                "      redis: \(redis)",
            ]
            return configuration
        }

        static func redis(_ port: UInt16, _ more: String = "") -> String {
            "{ address: \"127.0.0.1:\(port)\", sync_interval_ms: 20, timeout_ms: 300\(more) }"
        }

        static func connected(_ gateway: Gateway) throws -> Double {
            try gateway.metric("sluice_plugin_rate_limit_redis_connected")
        }

        static func rounds(_ gateway: Gateway) throws -> Double {
            try gateway.metric("sluice_plugin_rate_limit_redis_rounds_total")
        }

        /// Until what the gateway took before has been told, and what others told before has been heard.
        static func awaitRounds(_ gateways: Gateway...) throws {
            for gateway in gateways {
                let before = try rounds(gateway)
                // One may have been under way.
                try waitUntil("two more rounds") { try rounds(gateway) >= before + 2 }
            }
        }

        static func passes(_ gateway: Gateway, _ asked: Int) throws -> Int {
            let reader = MessageReader(try gateway.connect())
            var count = 0
            for _ in 0..<asked {
                reader.socket.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                if try reader.response()?.status == 200 { count += 1 }
            }
            return count
        }

        @Test func twoGatewaysShareALimit() throws {
            let redis = try RedisServer(password: "s3cret")
            let backend = try ScriptedBackend.ordinary()
            let configuration = Self.configuration(
                backend.endpoint, "{ name: all, requests: 100, per: day }",
                redis: Self.redis(redis.port, ", password: \"${REDIS_PASSWORD}\", database: 3"))
            let environment = ["REDIS_PASSWORD": "s3cret"]
            let one = try Gateway(configuration, environment: environment)
            let other = try Gateway(configuration, environment: environment)
            for gateway in [one, other] {
                try waitUntil("Redis is connected") { try Self.connected(gateway) == 1 }
            }
            #expect(try Self.passes(one, 60) == 60)
            try Self.awaitRounds(one)
            // The other does not know before it has told something itself.
            #expect(try Self.passes(other, 1) == 1)
            try Self.awaitRounds(other)
            #expect(try Self.passes(other, 60) == 39)
            try Self.awaitRounds(other)
            // And so here: what passes is what one interval's ignorance allows, at most a whole burst.
            let late = try Self.passes(one, 1)
            try Self.awaitRounds(one)
            #expect(try Self.passes(one, 60) == 0)
            #expect(late <= 1)
            #expect(!one.log.contains("s3cret"))
        }

        @Test func crowdsOnBothStayWithinTheBound() throws {
            let redis = try RedisServer()
            let backend = try ScriptedBackend.ordinary()
            let configuration = Self.configuration(
                backend.endpoint, "{ name: all, requests: 50, per: day }", redis: Self.redis(redis.port))
            let gateways = [try Gateway(configuration), try Gateway(configuration)]
            let sum = try concurrently(8) { try Self.passes(gateways[$0 % 2], 40) }.reduce(0, +)
            // Each gateway may grant what it does not know to be taken: a burst and nothing beyond it.
            #expect(sum >= 50 && sum <= 100)
            try Self.awaitRounds(gateways[0], gateways[1])
            for gateway in gateways {
                _ = try Self.passes(gateway, 1)
                try Self.awaitRounds(gateway)
                #expect(try Self.passes(gateway, 20) == 0)
            }
        }

        @Test func withoutRedisEachHasItsOwnAndAllIsWellWhenItIsBack() throws {
            var redis = try RedisServer()
            let port = redis.port
            let backend = try ScriptedBackend.ordinary()
            let configuration = Self.configuration(
                backend.endpoint, "{ name: all, requests: 30, per: day }", redis: Self.redis(port))
            let (one, other) = (try Gateway(configuration), try Gateway(configuration))
            try waitUntil("Redis is connected") { try Self.connected(one) == 1 && Self.connected(other) == 1 }
            #expect(try Self.passes(one, 10) == 10)
            try Self.awaitRounds(one)
            try redis.kill()
            try waitUntil("Redis is missed") { try Self.connected(one) == 0 && Self.connected(other) == 0 }
            // Nobody waits for it, and each gateway's own buckets hold.
            #expect(try Self.passes(one, 40) == 20)
            #expect(try Self.passes(other, 5) == 5)
            #expect(try one.metric("sluice_plugin_rate_limit_redis_failures_total") >= 1)
            redis = try RedisServer(port: port)
            try waitUntil("Redis is found again", .after(seconds: 60)) {
                try Self.connected(one) == 1 && Self.connected(other) == 1
            }
            try Self.awaitRounds(one, other)
            // 35 of 30 were taken, 10 of them told to a Redis that has forgotten them: the debt is everybody's.
            _ = try Self.passes(other, 1)
            try Self.awaitRounds(other)
            #expect(try Self.passes(other, 30) == 0)
            #expect(one.log.components(separatedBy: "limits are this gateway's own").count == 2, "once: \(one.log)")
            try one.awaitLog("is back")
            withExtendedLifetime(redis) {}
        }

        @Test func aFrozenRedisHoldsNobodyUp() throws {
            let redis = try RedisServer()
            let backend = try ScriptedBackend.ordinary()
            let gateway = try Gateway(
                Self.configuration(
                    backend.endpoint, "{ name: all, requests: 1000, per: day }", redis: Self.redis(redis.port)))
            try waitUntil("Redis is connected") { try Self.connected(gateway) == 1 }
            redis.freeze()
            #expect(try Self.passes(gateway, 200) == 200)
            try waitUntil("Redis is missed") { try Self.connected(gateway) == 0 }
            func isDegraded() throws -> Bool {
                let status = try Gateway.command(["status", "--socket", gateway.directory.file("admin.sock")]).output
                return status.split(separator: "\n").contains {
                    $0.hasPrefix("rate-limit ") && $0.hasSuffix(" degraded")
                }
            }
            #expect(try isDegraded())
            try waitUntil("that is said, too") { gateway.log.contains("no answer within 300 ms") }
            redis.thaw()
            try waitUntil("Redis is found again", .after(seconds: 60)) { try Self.connected(gateway) == 1 }
            #expect(try !isDegraded())
        }

        /// The kernel takes connections for a process that is stopped, and what was sent over them is read when it goes
        /// on.
        @Test func whatWasTakenWhileRedisStalledIsChargedOnce() throws {
            let redis = try RedisServer()
            let backend = try ScriptedBackend.ordinary()
            // Nothing comes back while the test lasts.
            let configuration = Self.configuration(
                backend.endpoint, "{ name: all, requests: 1000, per: 2678400 }", redis: Self.redis(redis.port))
            let (one, other) = (try Gateway(configuration), try Gateway(configuration))
            try waitUntil("Redis is connected") { try Self.connected(one) == 1 && Self.connected(other) == 1 }
            redis.freeze()
            #expect(try Self.passes(one, 200) == 200)
            try waitUntil("it was tried again and again", .after(seconds: 60)) {
                try one.metric("sluice_plugin_rate_limit_redis_failures_total") >= 4
            }
            redis.thaw()
            try waitUntil("Redis is found again", .after(seconds: 60)) {
                try Self.connected(one) == 1 && Self.connected(other) == 1
            }
            try Self.awaitRounds(one)
            #expect(try Self.passes(other, 1) == 1)
            try Self.awaitRounds(other)
            let rest = try Self.passes(other, 850)
            // 799, but for what is under way when answers are late once more. Each time that the charges were told
            // again would be 200 less.
            #expect((780...820).contains(rest), "\(rest)")
        }

        @Test func aReloadKeepsSharing() throws {
            let redis = try RedisServer()
            let backend = try ScriptedBackend.ordinary()
            let limit = "{ name: all, requests: 20, per: day }"
            var configuration = Self.configuration(backend.endpoint, limit, redis: Self.redis(redis.port))
            let (one, other) = (try Gateway(configuration), try Gateway(configuration))
            try waitUntil("Redis is connected") { try Self.connected(one) == 1 && Self.connected(other) == 1 }
            #expect(try Self.passes(one, 10) == 10)
            configuration = Self.configuration(
                backend.endpoint, limit + ", { name: own, shared: false, requests: 13, per: day }",
                redis: Self.redis(redis.port))
            try one.write(configuration)
            let outcome = try one.reload()
            #expect(outcome.status == 0, "\(outcome)")
            try Self.awaitRounds(one)
            #expect(try Self.passes(other, 1) == 1)
            try Self.awaitRounds(other)
            #expect(try Self.passes(other, 20) == 9)
            try Self.awaitRounds(other)
            _ = try Self.passes(one, 1)
            try Self.awaitRounds(one)
            #expect(try Self.passes(one, 20) == 0)
        }

        @Test func aWrongPasswordIsSaidOnceAndNotRepeated() throws {
            let redis = try RedisServer(password: "right")
            let backend = try ScriptedBackend.ordinary()
            let gateway = try Gateway(
                Self.configuration(
                    backend.endpoint, "{ requests: 5, per: day }", redis: Self.redis(redis.port, ", password: wr0ng")))
            try waitUntil("it is told") { gateway.log.contains("does not take the password") }
            #expect(!gateway.log.contains("wr0ng"))
            #expect(try Self.passes(gateway, 9) == 5)
        }
    }
    /// A Redis that takes connections and answers nothing.
    @Suite struct SilentRedis {
        /// Reads until the gateway closes.
        private static func redis() throws -> ScriptedBackend {
            try ScriptedBackend { connection in
                while try connection.reader.line(.after(seconds: 600)) != nil {}
            }
        }

        /// What blocks while requests wait for it, the verification of tokens, has the host's threads for itself; and a
        /// reload and the end wait for Redis as little as requests do.
        @Test func nobodyWaitsForIt() throws {
            let (backend, key) = (try ScriptedBackend.ordinary(), try SigningKey(.es256))
            var configuration = GatewayConfiguration.web([backend.endpoint])
            let keys = keySet([try key.jwk(id: "k")])
            configuration.filters = ["jwt", "one", "other"]
            func write(_ redis: ScriptedBackend) {
                configuration.plugins = [
                    "  - name: jwt", "    library: libJWT.so", "    config:", "      jwks: '\(keys)'",
                    "      issuer: any", "      audience: any",
                ]
                // As many as the host has threads.
                for name in ["one", "other"] {
                    configuration.plugins += [
                        "  - name: \(name)", "    library: libRateLimit.so", "    config:",
                        "      limits: [ { requests: 1000, per: day } ]",
                        "      redis: { address: \"127.0.0.1:\(redis.port)\", timeout_ms: 10000 }",
                    ]
                }
            }
            let redis = try Self.redis()
            write(redis)
            let gateway = try Gateway(configuration)
            try waitUntil("both have asked Redis") { redis.received.count { !$0.isEmpty } == 2 }
            let expiry = Int(Date().timeIntervalSince1970) + 600
            for subject in 0..<20 {
                let claims = #"{"iss":"i","aud":"a","exp":\#(expiry),"sub":"\#(subject)"}"#
                let token = try key.token(claims, id: "k")
                #expect(try gateway.get("/", fields: ["Authorization: Bearer \(token)"]).status == 200)
            }
            #expect(redis.openCount == 2, "both still wait")
            let another = try Self.redis()
            write(another)
            try gateway.write(configuration)
            #expect(try gateway.reload().status == 0)
            try waitUntil("both ask the other Redis") {
                another.received.count { !$0.isEmpty } == 2 && redis.openCount == 0
            }
            #expect(try gateway.stop() == 0)
        }
    }
}
