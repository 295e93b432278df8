import Foundation
import SluiceABI
import Testing
import TokenSigning

@Suite struct JWTTests {
    let host = FakeHost()
    private typealias Edit = FakeExchange.Edit
    private static let (toEndpoint, toClient) = (UInt32(SLUICE_SIDE_REQUEST), UInt32(SLUICE_SIDE_RESPONSE))
    /// The fake host's clock stands at 1,700,000,000.
    private static let claims = #"{"iss":"joe","aud":"models","exp":1700000100,"sub":"u1","org":"acme","n":7}"#

    private static let made = Result { try SigningKey(.es256) }
    private static func key() throws -> SigningKey { try made.get() }

    private static func config(_ more: [(String, ConfigTree)] = [], keys: [String]? = nil) throws -> ConfigTree {
        let set = keySet(try keys ?? [key().jwk(id: "k1")])
        var members: [(String, ConfigTree)] = [
            ("jwks", .scalar(set)), ("issuer", "joe"), ("audience", ["models", "other"]),
        ]
        members.removeAll { member in more.contains { $0.0 == member.0 } }
        return .mapping(members + more)
    }

    private static func request(_ token: String, _ more: [(String, String)] = []) -> FakeExchange {
        FakeExchange(fields: [("host", "x"), ("Authorization", "Bearer \(token)")] + more)
    }

    /// All of a request's way: it is suspended, the pool works, it is resumed.
    private func outcome(_ filter: FilterUnderTest, _ exchange: FakeExchange) -> sluice_status {
        let first = filter.onRequest(exchange)
        guard first == SLUICE_PENDING else { return first }
        let before = host.resumed.count
        host.runOffloaded()
        #expect(host.resumed.count == before + 1 && host.resumed.last == exchange.token)
        exchange.isResumed = true
        defer { exchange.isResumed = false }
        return filter.onRequest(exchange)
    }

    private func challenge(_ exchange: FakeExchange) -> String? {
        exchange.edits.first { $0.side == Self.toClient && $0.name == "www-authenticate" }?.value
    }

    @Test func aGoodTokenPassesAndNamesItsTenant() throws {
        let filter = try FilterUnderTest(
            "JWT", host,
            config: try Self.config([
                ("tenant", "org"), ("headers", ["x-user": "sub", "x-n": "n", "x-none": "nothing"]),
            ]))
        let token = try Self.key().token(Self.claims, id: "k1")
        let exchange = Self.request(token, [("x-none", "forged")])
        #expect(outcome(filter, exchange) == SLUICE_OK)
        #expect(text(exchange.request.pointee.tenant) == "acme")
        let edits = [
            Edit(side: Self.toEndpoint, name: "authorization", value: nil),
            Edit(side: Self.toEndpoint, name: "x-user", value: "u1"),
            Edit(side: Self.toEndpoint, name: "x-n", value: "7"),
            Edit(side: Self.toEndpoint, name: "x-none", value: nil),
        ]
        #expect(exchange.edits == edits)
        // The second time it is known: nothing is queued, and the same is said.
        let again = Self.request(token)
        #expect(filter.onRequest(again) == SLUICE_OK)
        #expect(host.offloaded.isEmpty)
        #expect(text(again.request.pointee.tenant) == "acme")
        #expect(again.edits == edits)
        #expect(host.metric("cache_hits_total")?.value == 1)
        #expect(host.metric("cache_misses_total")?.value == 1)
        #expect(host.metric("accepted_total")?.value == 2)
    }

    @Test func aKnownTokenEndsWithItsExpiry() throws {
        let filter = try FilterUnderTest("JWT", host, config: try Self.config([("leeway_seconds", 10)]))
        let token = try Self.key().token(Self.claims, id: "k1")
        #expect(outcome(filter, Self.request(token)) == SLUICE_OK)
        host.advance(by: 109_900_000_000)
        #expect(filter.onRequest(Self.request(token)) == SLUICE_OK)
        host.advance(by: 100_000_000)
        let late = Self.request(token)
        #expect(outcome(filter, late) == SLUICE_UNAUTHENTICATED)
        #expect(host.failure == "the token has expired")
        #expect(challenge(late) == #"Bearer error="invalid_token", error_description="the token has expired""#)
        #expect(host.metric("refused_total", ["time"])?.value == 1)
    }

    @Test(arguments: [
        (#"{"iss":"eve","aud":"models","exp":1700000100}"#, "claims"),
        (#"{"iss":"joe","aud":"mine","exp":1700000100}"#, "claims"), (#"{"iss":"joe","aud":"models"}"#, "claims"),
        (#"{"iss":"joe","aud":"models","exp":1699999000}"#, "time"), ("nonsense", "malformed"),
    ])
    func aTokenThatSaysOtherwiseIsRefused(claims: String, reason: String) throws {
        let filter = try FilterUnderTest("JWT", host, config: try Self.config())
        let exchange = Self.request(try Self.key().token(claims))
        #expect(outcome(filter, exchange) == SLUICE_UNAUTHENTICATED)
        #expect(host.metric("refused_total", [reason])?.value == 1)
        #expect(challenge(exchange)?.hasPrefix(#"Bearer error="invalid_token", "#) == true)
        // A refusal is not remembered: the next one is checked again.
        #expect(filter.onRequest(Self.request(try Self.key().token(claims))) == SLUICE_PENDING)
        host.runOffloaded()
    }

    @Test func anUnsignedTokenAndOneOfASharedSecretAreRefused() throws {
        let filter = try FilterUnderTest("JWT", host, config: try Self.config())
        for header in [#"{"alg":"none"}"#, #"{"alg":"HS256"}"#, #"{"alg":"ES256","crit":["x"]}"#] {
            let exchange = Self.request(try Self.key().token(Self.claims, header: header))
            #expect(outcome(filter, exchange) == SLUICE_UNAUTHENTICATED, "\(header)")
            #expect(text(exchange.request.pointee.tenant) == "")
        }
    }

    @Test func withoutATokenTheClientIsToldHow() throws {
        let filter = try FilterUnderTest("JWT", host, config: try Self.config([("realm", "models")]))
        for fields in [
            [], [("authorization", "Basic czNjcmV0")], [("authorization", "Bearer")], [("authorization", "")],
        ] {
            let exchange = FakeExchange(fields: fields)
            #expect(filter.onRequest(exchange) == SLUICE_UNAUTHENTICATED)
            #expect(challenge(exchange) == #"Bearer realm="models""#)
        }
        #expect(host.failure == "a bearer token is needed")
        #expect(host.metric("refused_total", ["missing"])?.value == 4)
        #expect(host.offloaded.isEmpty)
    }

    @Test func twoTokensAndLongOnesAreNotLookedAt() throws {
        let filter = try FilterUnderTest("JWT", host, config: try Self.config([("token_bytes", 256)]))
        let token = try Self.key().token("{}")
        let two = Self.request(token, [("authorization", "Bearer \(token)")])
        #expect(filter.onRequest(two) == SLUICE_INVALID_ARGUMENT)
        #expect(challenge(two)?.contains(#"error="invalid_request""#) == true)
        let long = Self.request(String(repeating: "a", count: 257))
        #expect(filter.onRequest(long) == SLUICE_INVALID_ARGUMENT)
        #expect(host.offloaded.isEmpty)
    }

    @Test func anotherHeaderMayHoldTheTokenBare() throws {
        let filter = try FilterUnderTest(
            "JWT", host, config: try Self.config([("header", "X-Token"), ("forward", true)]))
        let token = try Self.key().token(Self.claims)
        for value in [token, "bearer \(token)", " \(token) "] {
            let exchange = FakeExchange(fields: [("x-token", value)])
            #expect(outcome(filter, exchange) == SLUICE_OK)
            #expect(exchange.edits.isEmpty)
        }
        #expect(filter.onRequest(Self.request(token)) == SLUICE_UNAUTHENTICATED)
    }

    @Test func optionalLetsPassWhoShowsNothingButNotWhoShowsGarbage() throws {
        let filter = try FilterUnderTest(
            "JWT", host, config: try Self.config([("optional", true), ("headers", ["x-user": "sub"])]))
        let none = FakeExchange(fields: [("x-user", "forged")])
        #expect(filter.onRequest(none) == SLUICE_OK)
        #expect(none.edits == [Edit(side: Self.toEndpoint, name: "x-user", value: nil)])
        #expect(outcome(filter, Self.request("garbage")) == SLUICE_UNAUTHENTICATED)
    }

    @Test func aMissingScopeIsForbidden() throws {
        let filter = try FilterUnderTest("JWT", host, config: try Self.config([("scopes", ["infer", "chat"])]))
        let exchange = Self.request(try Self.key().token(Self.claims))
        #expect(outcome(filter, exchange) == SLUICE_PERMISSION_DENIED)
        #expect(challenge(exchange)?.hasSuffix(#"scope="infer chat""#) == true)
    }

    @Test func aTenantMustBeThereAndAFieldMustNotBreak() throws {
        let filter = try FilterUnderTest(
            "JWT", host, config: try Self.config([("tenant", "org"), ("headers", ["x-user": "sub"])]))
        let start = #"{"iss":"joe","aud":"models","exp":1700000100"#
        for rest in [
            #"}"#, #","org":""}"#, #","org":["a"]}"#, #","org":"a\nb"}"#, #","org":"a","sub":"a\r\nx-admin: 1"}"#,
        ] {
            let exchange = Self.request(try Self.key().token(start + rest))
            #expect(outcome(filter, exchange) == SLUICE_UNAUTHENTICATED, "\(rest)")
            #expect(exchange.edits.allSatisfy { $0.side == Self.toClient })
        }
    }

    @Test func aFullPoolTurnsAwayAndLosesNothing() throws {
        let filter = try FilterUnderTest("JWT", host, config: try Self.config())
        host.offloadBound = 0
        let exchange = Self.request(try Self.key().token(Self.claims))
        #expect(filter.onRequest(exchange) == SLUICE_UNAVAILABLE)
        #expect(host.metric("busy_total")?.value == 1)
        host.offloadBound = 1024
        #expect(outcome(filter, exchange) == SLUICE_OK)
    }

    /// The queue is that of all plugins: a flood of tokens leaves room in it.
    @Test func aFloodLeavesRoomInThePool() throws {
        let filters = try (0..<4).map { _ in try FilterUnderTest("JWT", host, config: try Self.config()) }
        func queued(_ filter: FilterUnderTest) -> Int {
            (1...300).count { number in
                let exchange = Self.request("garbage-\(number)")
                exchange.token = UInt64(number)
                return filter.onRequest(exchange) == SLUICE_PENDING
            }
        }
        // Two rounds: what the pool has taken out makes room again, also what nobody waits for any more.
        for round in 1...2 {
            #expect(filters.map(queued) == [256, 256, 256, 0])
            #expect(host.offloaded.count == 768)
            #expect(host.metric("busy_total")?.value == Double(round * (3 * 44 + 300)))
            host.runOffloaded()
        }
        // What the pool itself refused has left, too.
        host.offloadBound = 0
        #expect(queued(filters[0]) == 0)
        host.offloadBound = 1024
        #expect(queued(filters[0]) == 256)
        host.runOffloaded()
    }

    @Test func theRoomInThePoolIsConfigured() throws {
        let bounds: [(String, ConfigTree)] = [("waiting_of_worker", 3), ("waiting", 4)]
        let filters = try (0..<2).map { _ in try FilterUnderTest("JWT", host, config: try Self.config(bounds)) }
        let queued = filters.map { filter in
            (1...5).count { number in
                let exchange = Self.request("garbage-\(number)")
                exchange.token = UInt64(number)
                return filter.onRequest(exchange) == SLUICE_PENDING
            }
        }
        #expect(queued == [3, 1])
        host.runOffloaded()
    }

    @Test func whoLeavesWhileATokenIsCheckedIsForgotten() throws {
        let filter = try FilterUnderTest("JWT", host, config: try Self.config())
        let exchange = Self.request(try Self.key().token(Self.claims))
        #expect(filter.onRequest(exchange) == SLUICE_PENDING)
        filter.table.pointee.on_cancel(filter.instance, exchange.handle)
        // The slot of the exchange may serve another by then, under the same memory but another token.
        host.runOffloaded()
        let other = Self.request("garbage")
        other.token = 8
        #expect(outcome(filter, other) == SLUICE_UNAUTHENTICATED)
    }

    /// Work that the pool still has when the instance is gone uses nothing of it.
    @Test func workOutlivesTheInstance() throws {
        do {
            let filter = try FilterUnderTest("JWT", host, config: try Self.config())
            let exchange = Self.request(try Self.key().token(Self.claims))
            #expect(filter.onRequest(exchange) == SLUICE_PENDING)
            filter.table.pointee.on_cancel(filter.instance, exchange.handle)
        }
        host.runOffloaded()
        #expect(host.resumed.isEmpty)
    }

    @Test func noTokenIsInTheLog() throws {
        let filter = try FilterUnderTest("JWT", host, config: try Self.config())
        let token = try Self.key().token(#"{"iss":"joe-secret"}"#)
        #expect(outcome(filter, Self.request(token)) == SLUICE_UNAUTHENTICATED)
        #expect(!host.log.contains { $0.text.contains(token.prefix(20)) || $0.text.contains("joe-secret") })
        #expect(!host.failure.contains("joe"))
    }

    // MARK: Keys

    @Test func mistakesAreToldAtTheStart() throws {
        let mistakes: [([(String, ConfigTree)], String)] = [
            ([("issuer", .null)], "'issuer' is missing"), ([("audience", .null)], "'audience' is missing"),
            ([("jwks", .null)], "say where the keys are"), ([("jwks", "{\"keys\":[]}")], "it has no key"),
            ([("jwks", "garbage")], "cannot be used"), ([("jwks_file", "/a")], "say where the keys are"),
            ([("jwks", .null), ("jwks_file", "keys.json")], "absolute"),
            ([("jwks", .null), ("jwks_file", "/not/there.json")], "it cannot be opened"),
            ([("algorithms", ["none"])], "'none' is never accepted"), ([("algorithms", ["HS256"])], "never accepted"),
            ([("algorithms", ["RS256"])], "is of ES256"), ([("rsa_algorithm", "ES256")], "no algorithm of RSA"),
            ([("header", "a b")], "no header's name"), ([("headers", ["content-length": "sub"])], "no header's name"),
            ([("headers", ["Host": "sub"])], "always has a `host`"),
            ([("realm", "a\"b")], "a realm has no"), ([("issuer", [])], "nobody could pass"),
            ([("cache_entrie", 5)], "unknown key"), ([("leeway_seconds", -1)], "out of range"),
        ]
        for (change, message) in mistakes {
            let host = FakeHost()
            #expect(throws: LoadedPlugin.Failure.self) {
                try FilterUnderTest("JWT", host, config: try Self.config(change))
            }
            #expect(host.configurationErrors.contains { $0.text.contains(message) }, "\(host.configurationErrors)")
        }
    }

    private func look() {
        // The look is asked for, made, and its finding fetched.
        host.advance(by: 1_000_000_000)
        host.runOffloaded()
        host.advance(by: 20_000_000)
    }

    @Test func aFileOfKeysIsFollowed() throws {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent("jwt-\(UUID())")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        let file = directory.appendingPathComponent("keys.json")
        func write(_ text: String) throws { try text.write(to: file, atomically: true, encoding: .utf8) }

        let (first, second) = (try SigningKey(.es256), try SigningKey(.edDSA))
        try write(keySet([try first.jwk(id: "a")]))
        let filter = try FilterUnderTest(
            "JWT", host,
            config: try Self.config([("jwks", .null), ("jwks_file", .scalar(file.path)), ("poll_seconds", 1)]))
        host.advance(by: 1)
        #expect(host.metric("keys")?.value == 1)
        #expect(host.metric("degraded")?.value == 0)
        let old = try first.token(Self.claims, id: "a")
        let new = try second.token(Self.claims, id: "b")
        #expect(outcome(filter, Self.request(old)) == SLUICE_OK)
        #expect(outcome(filter, Self.request(new)) == SLUICE_UNAUTHENTICATED)

        // Nothing has changed: nothing is read.
        look()
        #expect(host.metric("key_reads_total")?.value == 1)

        // A key more.
        try write(keySet([try first.jwk(id: "a"), try second.jwk(id: "b")]))
        look()
        #expect(host.metric("keys")?.value == 2)
        #expect(outcome(filter, Self.request(new)) == SLUICE_OK)
        #expect(outcome(filter, Self.request(old)) == SLUICE_OK)

        // Garbage, then nothing: the last good keys stay, and that is told once each.
        let lines = host.log.count
        for round in 1...3 {
            if round < 3 { try write("garbage") } else { try FileManager.default.removeItem(at: file) }
            look()
            #expect(host.metric("degraded")?.value == 1)
            #expect(host.metric("key_failures_total")?.value == Double(round))
            #expect(filter.onRequest(Self.request(old)) == SLUICE_OK)
        }
        let told = host.log[lines...].map(\.text)
        #expect(told.count == 2 && told.allSatisfy { $0.hasPrefix("degraded: ") }, "\(told)")

        // The first key is taken out: what it signed is good no more, though it was known.
        try write(keySet([try second.jwk(id: "b")]))
        look()
        #expect(host.metric("degraded")?.value == 0)
        #expect(host.metric("keys")?.value == 1)
        #expect(outcome(filter, Self.request(old)) == SLUICE_UNAUTHENTICATED)
        #expect(outcome(filter, Self.request(new)) == SLUICE_OK)
    }

    /// A pool that is full at the time of a look does not keep a key in force for another round.
    @Test func aLookThatFoundNoRoomIsSoonAskedForAgain() throws {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent("jwt-\(UUID())")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        let file = directory.appendingPathComponent("keys.json")
        let revoked = try SigningKey(.edDSA)
        try keySet([try revoked.jwk(id: "a")]).write(to: file, atomically: true, encoding: .utf8)
        let filter = try FilterUnderTest(
            "JWT", host,
            config: try Self.config([("jwks", .null), ("jwks_file", .scalar(file.path)), ("poll_seconds", 60)]))
        host.advance(by: 1)
        let token = try revoked.token(Self.claims, id: "a")
        #expect(outcome(filter, Self.request(token)) == SLUICE_OK)
        try keySet([try Self.key().jwk(id: "k1")]).write(to: file, atomically: true, encoding: .utf8)
        host.offloadBound = 0
        host.advance(by: 60_000_000_000)
        host.offloadBound = 1024
        host.advance(by: 20_000_000)
        #expect(host.offloaded.count == 1)
        host.runOffloaded()
        host.advance(by: 20_000_000)
        #expect(outcome(filter, Self.request(token)) == SLUICE_UNAUTHENTICATED)
    }

    /// A token that was checked with keys that went meanwhile is let in, but not kept.
    @Test func whatOldKeysVerifiedIsNotKept() throws {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent("jwt-\(UUID())")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        let file = directory.appendingPathComponent("keys.json")
        let key = try SigningKey(.edDSA)
        try keySet([try key.jwk(id: "a")]).write(to: file, atomically: true, encoding: .utf8)
        let filter = try FilterUnderTest(
            "JWT", host,
            config: try Self.config([("jwks", .null), ("jwks_file", .scalar(file.path)), ("poll_seconds", 1)]))
        host.advance(by: 1)
        let token = try key.token(Self.claims, id: "a")
        let exchange = Self.request(token)
        #expect(filter.onRequest(exchange) == SLUICE_PENDING)
        try keySet([try Self.key().jwk(id: "k1")]).write(to: file, atomically: true, encoding: .utf8)
        look()
        exchange.isResumed = true
        #expect(filter.onRequest(exchange) == SLUICE_OK)
        #expect(outcome(filter, Self.request(token)) == SLUICE_UNAUTHENTICATED)
    }
}
