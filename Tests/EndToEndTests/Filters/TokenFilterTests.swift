import Foundation
import Testing
import TokenFormat
import TokenSigning

extension EndToEnd {
    /// The filter `jwt` in a gateway: tokens of every algorithm, keys that come and go, refusals in each protocol.
    @Suite struct TokenFilter {
        private static func claims(_ more: String = "", seconds: Double = 600) -> String {
            let expiry = Int(Date().timeIntervalSince1970 + seconds)
            let names = #""iss":"https://issuer.test","aud":["models"],"sub":"u1","org":"acme""#
            return "{\(names),\"exp\":\(expiry)\(more)}"
        }

        private static func plugin(_ file: String, _ more: String = "") -> [String] {
            [
                "  - name: jwt", "    library: libJWT.so", "    config:", "      jwks_file: \"\(file)\"",
                "      poll_seconds: 1", "      issuer: https://issuer.test", "      audience: models",
                "      tenant: org", "      headers: { x-user: sub }\(more)",
            ]
        }

        /// A gateway before a backend that answers with what it was sent of `x-user` and `authorization`.
        private static func gateway(
            _ keys: [String], _ more: String = "", serverKeys: [String] = []
        ) throws -> (Gateway, ScriptedBackend) {
            let backend = try ScriptedBackend { connection, request in
                connection.answer(
                    200,
                    "\(request.field("x-user") ?? "-") \(request.field("authorization") == nil ? "clean" : "leaked")")
            }
            let directory = try TemporaryDirectory()
            let file = try directory.write("jwks.json", keySet(keys))
            var configuration = GatewayConfiguration.web([backend.endpoint])
            configuration.plugins = plugin(file, more)
            configuration.filters = ["jwt"]
            configuration.serverKeys = serverKeys
            return (try Gateway(text: configuration.text(in: directory), in: directory), backend)
        }

        private static func get(_ gateway: Gateway, _ token: String) throws -> HTTPMessage {
            try gateway.get("/", fields: ["Authorization: Bearer \(token)", "X-User: forged"])
        }

        @Test func tokensOfEveryAlgorithmPass() throws {
            let keys = try Algorithm.allCases.map { try SigningKey($0) }
            let set = try keys.map {
                try $0.jwk(id: $0.algorithm.rawValue, alg: $0.algorithm.isRSA ? $0.algorithm.rawValue : nil)
            }
            let (gateway, backend) = try Self.gateway(set)
            defer { withExtendedLifetime(backend) {} }
            for key in keys {
                let token = try key.token(Self.claims(), id: key.algorithm.rawValue)
                // Twice: verified, then known.
                for _ in 1...4 {
                    let answer = try Self.get(gateway, token)
                    #expect(
                        answer.status == 200 && answer.bodyText == "u1 clean", "\(key.algorithm): \(answer.bodyText)")
                }
                let forged = try SigningKey(key.algorithm).token(Self.claims(), id: key.algorithm.rawValue)
                #expect(try Self.get(gateway, forged).status == 401)
            }
            let count = Double(keys.count)
            #expect(try gateway.metric("sluice_plugin_jwt_accepted_total") == 4 * count)
            // Each of two workers verifies a token once at most.
            #expect(try gateway.metric("sluice_plugin_jwt_cache_hits_total") >= 2 * count)
            #expect(try gateway.metric("sluice_plugin_jwt_refused_total", ["reason=\"signature\""]) == count)
            #expect(try gateway.metric("sluice_plugin_jwt_keys") == count)
        }

        /// Tokens are verified on the threads that the configuration asks for, and on no more.
        @Test func asManyThreadsWorkForPluginsAsConfigured() throws {
            let key = try SigningKey(.edDSA)
            let (gateway, backend) = try Self.gateway([try key.jwk(id: "a")], serverKeys: ["offload_threads: 3"])
            defer { withExtendedLifetime(backend) {} }
            #expect(try Self.get(gateway, try key.token(Self.claims(), id: "a")).status == 200)
            // A thread has its name when it has begun to run.
            try waitUntil("three threads") { gateway.process.threads(named: "sluice-offload") == 3 }
        }

        @Test func refusalsSayWhyAndHoldNoSecret() throws {
            let key = try SigningKey(.edDSA)
            let (gateway, backend) = try Self.gateway([try key.jwk(id: "a")], "\n      scopes: [ infer ]")
            let none = try gateway.get("/")
            #expect(none.status == 401 && none.field("www-authenticate") == "Bearer")
            let expired = try key.token(Self.claims(seconds: -100), id: "a")
            let late = try Self.get(gateway, expired)
            #expect(late.status == 401)
            #expect(
                late.field("www-authenticate")
                    == #"Bearer error="invalid_token", error_description="the token has expired""#)
            #expect(late.bodyText.contains("the token has expired"))
            let narrow = try Self.get(gateway, try key.token(Self.claims(#","scope":"read""#), id: "a"))
            #expect(narrow.status == 403)
            #expect(narrow.field("www-authenticate")?.contains(#"error="insufficient_scope""#) == true)
            let unsigned =
                Base64URL.encode(Array(#"{"alg":"none"}"#.utf8)) + "."
                + Base64URL.encode(Array(Self.claims().utf8)) + ".AAAA"
            #expect(try Self.get(gateway, unsigned).status == 401)
            #expect(backend.requests.isEmpty)
            for secret in [expired, unsigned] { #expect(!gateway.log.contains(secret.prefix(40))) }
        }

        @Test func keysAreFollowedAndTheLastGoodOnesStay() throws {
            let (first, second) = (try SigningKey(.es256), try SigningKey(.rs256))
            let (gateway, backend) = try Self.gateway([try first.jwk(id: "a")])
            defer { withExtendedLifetime(backend) {} }
            let old = try first.token(Self.claims(), id: "a")
            let new = try second.token(Self.claims(), id: "b")
            #expect(try Self.get(gateway, old).status == 200)
            #expect(try Self.get(gateway, new).status == 401)
            // Both workers look for themselves: each has to let it in before it is said of all.
            func settles(_ what: String, _ token: String, _ status: Int) throws {
                var inARow = 0
                try waitUntil(what) {
                    inARow = try Self.get(gateway, token).status == status ? inARow + 1 : 0
                    return inARow >= 12
                }
            }
            try gateway.directory.write("jwks.json", keySet([try first.jwk(id: "a"), try second.jwk(id: "b")]))
            try settles("the new key is taken", new, 200)
            try gateway.directory.write("jwks.json", "{ \"keys\": [")
            try waitUntil("the file is garbage") { try gateway.metric("sluice_plugin_jwt_degraded") == 1 }
            #expect(try Self.get(gateway, old).status == 200)
            let status = try Gateway.command(["status", "--socket", gateway.directory.file("admin.sock")]).output
            #expect(status.split(separator: "\n").contains { $0.hasPrefix("jwt ") && $0.hasSuffix(" degraded") })
            try gateway.awaitLog("degraded: ")
            // A reload reads the file, too: it says what is wrong, and what runs goes on.
            let refused = try gateway.reload()
            #expect(refused.status == 1)
            #expect(refused.errors.contains("jwks.json cannot be used"), "\(refused.errors)")
            #expect(try Self.get(gateway, old).status == 200)
            try FileManager.default.removeItem(atPath: gateway.directory.file("jwks.json"))
            #expect(try Self.get(gateway, new).status == 200)
            try gateway.directory.write("jwks.json", keySet([try second.jwk(id: "b")]))
            try settles("the first key is forgotten", old, 401)
            #expect(try Self.get(gateway, new).status == 200)
            try waitUntil("all is well") { try gateway.metric("sluice_plugin_jwt_degraded") == 0 }
            // And at once by a reload.
            try gateway.directory.write("jwks.json", keySet([try first.jwk(id: "a")]))
            #expect(try gateway.reload().status == 0)
            #expect(try Self.get(gateway, old).status == 200)
            #expect(try Self.get(gateway, new).status == 401)
        }

        @Test func aBadSetIsAnErrorAtTheStart() throws {
            let directory = try TemporaryDirectory()
            for (content, message) in [
                (nil, "cannot be used: it cannot be opened: No such file or directory"),
                ("nonsense", "cannot be used: "), ("{\"keys\":[]}", "it has no key"),
                (keySet([#"{"kty":"oct","k":"c2VjcmV0"}"#]), "a shared secret"),
            ] as [(String?, String)] {
                if let content { try directory.write("jwks.json", content) }
                var configuration = GatewayConfiguration.web(["http://127.0.0.1:1"])
                configuration.plugins = Self.plugin(directory.file("jwks.json"))
                configuration.filters = ["jwt"]
                let file = try directory.write("plugins.yaml", configuration.text(in: directory))
                let outcome = try Gateway.command(["check", "--config", file])
                #expect(outcome.status == 1)
                let place = try #require(outcome.errors.split(separator: "\n").first { $0.contains("jwks.json ") })
                #expect(place.contains(message) && place.contains("plugins.yaml:"), "\(outcome.errors)")
                #expect(!outcome.errors.contains("c2VjcmV0"))
            }
        }

        /// Many clients at once, of whom some leave while their token is checked, and a reload amid them.
        @Test func manyAtOnceAreAnsweredEachItsOwn() throws {
            let key = try SigningKey(.rs256)
            let (gateway, backend) = try Self.gateway([try key.jwk(id: "a")])
            defer { withExtendedLifetime(backend) {} }
            let good = try (0..<8).map { try key.token(Self.claims(",\"jti\":\"\($0)\""), id: "a") }
            let client = CheckingClient(
                port: gateway.port,
                request: {
                    // Every third token is one that nobody signed.
                    let token = $0 % 3 == 2 ? good[$0 % 8].dropLast(4) + "AAAA" : good[$0 % 8][...]
                    return "GET /\($0) HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer \(token)\r\n\r\n"
                }
            ) { index, answer in
                answer.status == (index % 3 == 2 ? 401 : 200) ? nil : "\(index): status \(answer.status)"
            }
            for _ in 0..<50 {
                let socket = try gateway.connect()
                socket.send("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer \(good[0].dropLast(4))AAAA\r\n\r\n")
            }
            for _ in 0..<3 { #expect(try gateway.reload().status == 0) }
            #expect(try client.stop() == [])
            #expect(try gateway.get("/", fields: ["Authorization: Bearer \(good[1])"]).status == 200)
        }
    }
}
