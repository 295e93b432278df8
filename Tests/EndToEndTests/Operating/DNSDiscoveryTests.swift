import Foundation
import Testing

extension EndToEnd {
    /// Endpoints of a pool from DNS, whatever name servers do.
    @Suite struct DNSDiscovery {
        typealias Server = FakeNameServer
        typealias Record = FakeNameServer.Record

        /// A gateway whose model `web` has its endpoints from the name `web.test`, or from the services of `_web.test`.
        static func configuration(
            _ servers: [String], _ config: String, more: String = ""
        ) -> GatewayConfiguration {
            var configuration = GatewayConfiguration.web([])
            configuration.plugins = ["  - { name: dns, library: libDNSDiscovery.so }"]
            let list = servers.map { "\"\($0)\"" }.joined(separator: ", ")
            configuration.models = [
                "  web:", "    versions:", "      \"1\":", "        protocol: passthrough", "        discovery:",
                "          plugin: dns", "          config: { servers: [ \(list) ], \(config) }",
            ]
            if !more.isEmpty { configuration.models.append("          " + more) }
            return configuration
        }

        static func gateway(_ servers: Server..., config: String, more: String = "") throws -> Gateway {
            try Gateway(configuration(servers.map(\.place), config, more: more))
        }

        static let services = "name: _web.test, type: srv, retry_at_most_seconds: 1"
        static func address(_ port: UInt16) -> String { "name: web.test, port: \(port), retry_at_most_seconds: 1" }

        static func status(_ gateway: Gateway, json: Bool = false) throws -> String {
            try Gateway.command(
                ["status"] + (json ? ["--json"] : []) + ["--socket", gateway.directory.file("admin.sock")]
            ).output
        }

        static func degraded(_ gateway: Gateway) throws -> Bool {
            try gateway.metric("sluice_discovery_degraded") == 1
        }

        static func count(_ gateway: Gateway, _ name: String) throws -> Double {
            try gateway.metric("sluice_plugin_dns_\(name)_total")
        }

        @Test func endpointsComeAndGoUnderLoad() throws {
            let (first, second) = (try Discovery.named("first"), try Discovery.named("second"))
            func record(_ backend: ScriptedBackend, _ name: String) -> [Record] {
                [.service("_web.test", port: backend.port, name, weight: 3), .address(name)]
            }
            let (one, two) = (record(first, "one.test"), record(second, "two.test"))
            let server = try Server { [.answer(one.of($0))] }
            let gateway = try Self.gateway(server, config: Self.services)
            #expect(try gateway.get("/").bodyText == "first")
            #expect(try Self.status(gateway, json: true).contains("\"weight\":3"))
            let client = CheckingClient(port: gateway.port, request: { "GET /\($0) HTTP/1.1\r\nHost: a\r\n\r\n" }) {
                $1.status == 200 ? nil : "status \($1.status)"
            }
            for _ in 0..<2 {
                server.hold(one + two)
                let before = second.requests.count
                try waitUntil("the second endpoint serves") { second.requests.count > before }
                server.hold(two)
                try waitUntil("one endpoint is left") { try Discovery.endpoints(gateway) == 1 }
                let served = second.requests.count
                try waitUntil("the second serves alone") { second.requests.count > served + 20 }
                let rest = first.requests.count
                let later = second.requests.count
                try waitUntil("the second still serves") { second.requests.count > later + 20 }
                #expect(first.requests.count == rest)
                server.hold(one)
                try waitUntil("the first serves again") { first.requests.count > rest }
            }
            #expect(try client.stop() == [])
            #expect(try !Self.degraded(gateway))
        }

        @Test func onlyTheAnswerToTheQuestionCounts() throws {
            let backend = try Discovery.named("it")
            let records: [Record] = [.address("web.test")]
            let evil: [Record] = [.address("web.test", [127, 6, 6, 6]), .address("other.test", [127, 6, 6, 6])]
            let server = try Server { question in
                [
                    .garbage, .wrongID(evil.of(question)), .otherQuestion(evil),
                    .answer(records.of(question) + [.address("other.test", [127, 6, 6, 6])]),
                ]
            }
            let gateway = try Self.gateway(server, config: Self.address(backend.port))
            #expect(try gateway.get("/").bodyText == "it")
            #expect(try Discovery.endpoints(gateway) == 1)
            try waitUntil("what was no answer is counted") { try Self.count(gateway, "discarded") >= 6 }
            #expect(server.asked.contains { $0.type == 28 } && server.asked.allSatisfy { !$0.isOverTCP })
        }

        @Test func whatDoesNotFitADatagramComesOverTCP() throws {
            let backend = try Discovery.named("it")
            let many = (1...200).map { Record.address("web.test", [127, 0, 0, UInt8($0)]) }
            let server = try Server { $0.isOverTCP ? [.answer(many.of($0))] : [.truncated] }
            let gateway = try Self.gateway(server, config: Self.address(backend.port) + ", type: a")
            #expect(try Discovery.endpoints(gateway) == 200)
            #expect(try Self.count(gateway, "truncated") >= 1)
            // A server that says over TCP that there is more has not answered.
            server.say { _ in [.truncated] }
            try waitUntil("the failure is told") { try Self.degraded(gateway) }
            #expect(try Discovery.endpoints(gateway) == 200)
        }

        @Test func anotherServerAnswersForOneThatIsSilentOrFails() throws {
            let backend = try Discovery.named("it")
            let records: [Record] = [.address("web.test")]
            let silent = try Server { _ in [] }
            let failing = try Server { _ in [.code(2)] }
            let good = try Server { [.answer(records.of($0))] }
            let gateway = try Self.gateway(
                silent, failing, good, config: Self.address(backend.port) + ", timeout_ms: 400",
                more: "first_set_ms: 20000")
            #expect(try gateway.get("/").bodyText == "it")
            #expect(try !Self.degraded(gateway))
            #expect(try Self.count(gateway, "timeouts") >= 1)
            // Who has answered is asked first.
            let asked = silent.asked.count
            let looks = good.asked.count
            try waitUntil("it is looked up again") { good.asked.count >= looks + 4 }
            #expect(silent.asked.count == asked)
        }

        /// RFC 2308 §2.2: neither says that there are no such records.
        @Test(arguments: [Server.Reply.referral, .answer([.alias("web.test", "web.test")])])
        func whoOnlyRefersToOthersEmptiesNoPool(_ reply: Server.Reply) throws {
            let backend = try Discovery.named("it")
            let records: [Record] = [.address("web.test")]
            let lame = try Server { _ in [reply] }
            let good = try Server { [.answer(records.of($0))] }
            let config = Self.address(backend.port)
            let gateway = try Self.gateway(lame, good, config: config, more: "when_empty: empty")
            #expect(try gateway.get("/").bodyText == "it")
            #expect(try !Self.degraded(gateway))
            // Where there is no other, the last set stays, also for those who want to know of an empty one.
            good.say { _ in [reply] }
            let asked = good.asked.count
            try waitUntil("the failure is told") { try Self.degraded(gateway) }
            try waitUntil("it is looked up again") { good.asked.count > asked + 4 }
            #expect(try gateway.get("/").bodyText == "it")
            #expect(try Self.status(gateway).contains("degraded: `web.test`: "))
        }

        @Test func whoSendsJunkWithoutAnEndHoldsALookNoLonger() throws {
            let backend = try Discovery.named("it")
            let records: [Record] = [.address("web.test")]
            let good = try Server { [.answer(records.of($0))] }
            let babbling = try Server { _ in [] }
            let end = Deadline.after(seconds: 30)
            babbling.flood { good.asked.isEmpty && !end.isPast }
            let gateway = try Self.gateway(
                babbling, good, config: Self.address(backend.port) + ", timeout_ms: 50, rounds: 1",
                more: "first_set_ms: 10000")
            #expect(try gateway.get("/").bodyText == "it")
        }

        @Test func aServerWithoutEDNSIsAskedWithoutIt() throws {
            let backend = try Discovery.named("it")
            let records: [Record] = [.address("web.test")]
            let server = try Server { $0.hasOptions ? [.code(1)] : [.answer(records.of($0))] }
            let gateway = try Self.gateway(server, config: Self.address(backend.port))
            #expect(try gateway.get("/").bodyText == "it")
        }

        @Test func theLastSetServesWhileNobodyAnswers() throws {
            let backend = try Discovery.named("it")
            let other = try Discovery.named("other")
            func records(_ backend: ScriptedBackend) -> [Record] {
                [.service("_web.test", port: backend.port, "one.test"), .address("one.test")]
            }
            let old = records(backend)
            let server = try Server { [.answer(old.of($0))] }
            let gateway = try Self.gateway(server, config: Self.services + ", timeout_ms: 50, rounds: 1")
            #expect(try gateway.get("/").bodyText == "it")
            for (reply, reason) in [
                (nil, "no name server answers for `_web.test`: \(server.place) did not answer within 50 ms"),
                (.code(2), "`_web.test`: the servers failed (SERVFAIL)"),
                (.code(3), "`_web.test` does not exist (NXDOMAIN)"),
                (.answer([]), "`_web.test` has no such records"),
            ] as [(Server.Reply?, String)] {
                server.say { _ in [reply].compactMap(\.self) }
                try waitUntil("\(reason) is told") {
                    try Self.status(gateway).contains("degraded: \(reason)") && Self.degraded(gateway)
                }
                #expect(try gateway.get("/").bodyText == "it")
            }
            try gateway.awaitLog("discovery of web/1 is degraded: no name server answers")
            // A reload while the source is away begins with the last set.
            #expect(try gateway.reload().status == 0)
            #expect(try gateway.get("/").bodyText == "it")
            server.hold(records(other))
            try waitUntil("the new endpoint serves") { try gateway.get("/").bodyText == "other" }
            try waitUntil("it is followed again") { try !Self.degraded(gateway) }
            #expect(try Self.status(gateway).contains("follows"))
        }

        @Test func theLastSetIsDroppedAfterTheStatedTime() throws {
            let backend = try Discovery.named("it")
            let records: [Record] = [.address("web.test")]
            let server = try Server { [.answer(records.of($0))] }
            let gateway = try Self.gateway(
                server, config: Self.address(backend.port) + ", timeout_ms: 50, rounds: 1",
                more: "keep_last_seconds: 2")
            #expect(try gateway.get("/").status == 200)
            server.say { _ in [] }
            try waitUntil("the source is away") { try Self.degraded(gateway) }
            try waitUntil("the pool is empty") { try gateway.get("/").status == 503 }
            try waitUntil("it is told") { gateway.log.contains("the last set was kept for 2 s and is dropped") }
            #expect(try Discovery.endpoints(gateway) == 0)
            server.hold(records)
            try waitUntil("the pool serves again") { try gateway.get("/").status == 200 }
        }

        @Test func nothingIsTakenAtItsWordWhenToldSo() throws {
            let backend = try Discovery.named("it")
            let records: [Record] = [.address("web.test")]
            let server = try Server { [.answer(records.of($0))] }
            let gateway = try Self.gateway(server, config: Self.address(backend.port), more: "when_empty: empty")
            #expect(try gateway.get("/").status == 200)
            // One kind of addresses cannot be asked for, and there is none of the other: that is not nothing, also for
            // a gateway that has looked nothing up yet.
            server.say { $0.type == 1 ? [.code(2)] : [.answer([])] }
            #expect(try gateway.reload().status == 0)
            let asked = server.asked.count
            try waitUntil("it is looked up again") { try server.asked.count > asked + 4 && Self.degraded(gateway) }
            #expect(try gateway.get("/").status == 200)
            server.say { _ in [.code(3)] }
            try waitUntil("the pool is empty") { try gateway.get("/").status == 503 }
            server.hold(records)
            try waitUntil("the pool serves again") { try gateway.get("/").status == 200 }
        }

        @Test func oneKindOfAddressesIsFollowedWhileTheOtherFails() throws {
            let (first, second) = (try Discovery.named("first"), try Discovery.named("second"))
            let service = { (backend: ScriptedBackend) -> Record in
                .service("_web.test", port: backend.port, "one.test")
            }
            // The service and its target's address are known, the other kind of address cannot be asked for.
            let script = { (backend: ScriptedBackend) -> Server.Script in
                let records = [service(backend), .address("one.test")]
                return { $0.type == 28 ? [.code(2)] : [.answer(records.of($0))] }
            }
            let server = try Server(script(first))
            let gateway = try Self.gateway(
                server, config: "name: _web.test, type: srv, rounds: 1, retry_at_most_seconds: 3600")
            #expect(try gateway.get("/").bodyText == "first")
            // Pauses of looks that fail would be 8 s and more by now; TTLs are 1 s.
            let asked = server.asked.count
            try waitUntil("it is looked up again") { server.asked.count > asked + 8 * 3 }
            #expect(try Self.degraded(gateway))
            server.say(script(second))
            try waitUntil("the change is seen") { try gateway.get("/").bodyText == "second" }
        }

        @Test func aSilentServerHoldsNobodyUp() throws {
            let backend = try Discovery.named("it")
            let silent = try Server { _ in [] }
            var configuration = Self.configuration([silent.place], Self.address(backend.port) + ", timeout_ms: 30000")
            configuration.models += [
                "  other: { versions: { \"1\": { endpoints: [ \"\(backend.endpoint)\" ], protocol: passthrough } } }"
            ]
            configuration.routes = "[ { prefix: /other, model: other }, { prefix: /, model: web } ]"
            let gateway = try Gateway(configuration)
            try waitUntil("it is asked") { !silent.asked.isEmpty }
            #expect(try gateway.get("/other").bodyText == "it")
            #expect(try gateway.get("/").status == 503)
            // Both end while the question is open.
            #expect(try gateway.reload().status == 0)
            #expect(try gateway.stop() == 0)
        }

        @Test func mistakesInTheConfigurationAreToldWithTheirPlace() throws {
            let directory = try TemporaryDirectory()
            let good = Self.configuration(["127.0.0.1"], "name: web.test, port: 80").text(in: directory)
            for (from, to, message) in [
                ("name: web.test", "name: web..test", "no name of DNS"),
                ("name: web.test", "name: 10.0.0.1", "an address has nothing to look up"),
                ("name: web.test, ", "", "'name' is missing"),
                (", port: 80", "", "'port' is missing"),
                ("port: 80", "type: srv, port: 80", "have ports of their own"),
                ("port: 80", "type: mx", "expected `address`, `a`, `aaaa` or `srv`"),
                ("port: 80", "port: 80, priorities: all", "it goes with `type: srv`"),
                ("port: 80", "type: srv, priorities: some", "expected `best` or `all`"),
                ("port: 80", "port: 80, least_seconds: 9, most_seconds: 3", "less than `least_seconds`, 9"),
                ("127.0.0.1\" ]", "ns.test\" ]", "expected a numeric address"),
                ("port: 80", "port: 80, prot: 1", "unknown key 'prot'"),
            ] {
                try directory.write("plugins.yaml", good.replacingOccurrences(of: from, with: to))
                let checked = try Gateway.command(["check", "--config", directory.file("plugins.yaml")])
                #expect(checked.status == 1)
                #expect(checked.errors.contains("plugins.yaml:") && checked.errors.contains(message), "\(checked)")
            }
        }
    }
}
