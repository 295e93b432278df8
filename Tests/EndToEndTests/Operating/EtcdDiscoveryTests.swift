import Foundation
import Testing

extension EndToEnd {
    /// Endpoints of a pool from a real etcd, through what may become of it.
    @Suite(.enabled(if: EtcdServer.wanted, "needs etcd-server and etcd-client; `make test` installs them"))
    struct EtcdDiscovery {
        static func configuration(
            _ endpoints: [String], config: String = "", more: String = ""
        ) -> GatewayConfiguration {
            var configuration = GatewayConfiguration.web([])
            configuration.plugins = ["  - { name: etcd, library: libEtcdDiscovery.so }"]
            let list = endpoints.map { "\"\($0)\"" }.joined(separator: ", ")
            configuration.models = [
                "  web:", "    versions:", "      \"1\":", "        protocol: passthrough", "        discovery:",
                "          plugin: etcd", "          first_set_ms: 20000", "          config:",
                "            endpoints: [ \(list) ]", "            prefix: /web/", "            timeout_ms: 1000",
                "            check_seconds: 1", "            retry_at_most_seconds: 1",
            ]
            if !config.isEmpty { configuration.models.append("            " + config) }
            if !more.isEmpty { configuration.models.append("          " + more) }
            return configuration
        }

        static func gateway(_ servers: EtcdServer..., config: String = "", more: String = "") throws -> Gateway {
            try Gateway(configuration(servers.map(\.endpoint), config: config, more: more))
        }

        static func status(_ gateway: Gateway) throws -> String {
            try Gateway.command(["status", "--socket", gateway.directory.file("admin.sock")]).output
        }

        static func degraded(_ gateway: Gateway) throws -> Bool {
            try gateway.metric("sluice_discovery_degraded") == 1
        }

        static func count(_ gateway: Gateway, _ name: String) throws -> Double {
            try gateway.metric("sluice_plugin_etcd_\(name)_total")
        }

        static func isServed(_ gateway: Gateway, by name: String) throws -> Bool {
            try gateway.get("/").bodyText == name
        }

        @Test func endpointsComeAndGoUnderLoad() throws {
            let (first, second) = (try Discovery.named("first"), try Discovery.named("second"))
            let etcd = try EtcdServer()
            try etcd.control("put", "/web/first", first.endpoint)
            try etcd.control("put", "/other/it", "http://127.0.0.1:1")
            let gateway = try Self.gateway(etcd)
            #expect(try Self.isServed(gateway, by: "first"))
            #expect(try Discovery.endpoints(gateway) == 1)
            let client = CheckingClient(port: gateway.port, request: { "GET /\($0) HTTP/1.1\r\nHost: a\r\n\r\n" }) {
                $1.status == 200 ? nil : "status \($1.status)"
            }
            for round in 1...3 {
                let before = second.requests.count
                try etcd.control("put", "/web/second", "{\"address\":\"\(second.endpoint)\",\"weight\":\(round)}")
                try waitUntil("the second endpoint serves") { second.requests.count > before }
                try etcd.control("del", "/web/first")
                try waitUntil("one endpoint is left") { try Discovery.endpoints(gateway) == 1 }
                let served = second.requests.count
                try waitUntil("the second serves alone") { second.requests.count > served + 20 }
                let rest = first.requests.count
                let later = second.requests.count
                try waitUntil("the second still serves") { second.requests.count > later + 20 }
                #expect(first.requests.count == rest)
                // Both changes at once.
                try etcd.control("put", "/web/first", first.endpoint)
                try etcd.control("del", "/web/second")
                try waitUntil("the first serves again") { first.requests.count > rest }
                try waitUntil("one endpoint is left") { try Discovery.endpoints(gateway) == 1 }
            }
            #expect(try client.stop() == [])
            #expect(try !Self.degraded(gateway))
            // It was a watch that told, and not that all was read again.
            #expect(try Self.count(gateway, "reads") == 1)
            #expect(try Self.count(gateway, "events") >= 12)
        }

        @Test func anEndpointGoesWithItsLease() throws {
            let (leased, stable) = (try Discovery.named("leased"), try Discovery.named("stable"))
            let etcd = try EtcdServer()
            try etcd.control("put", "/web/stable", stable.endpoint)
            let gateway = try Self.gateway(etcd)
            let lease = try etcd.lease(seconds: 2)
            try etcd.control("put", "--lease=\(lease)", "/web/leased", leased.endpoint)
            try waitUntil("the leased one is there") { try Discovery.endpoints(gateway) == 2 }
            try waitUntil("its lease has ended") { try Discovery.endpoints(gateway) == 1 }
            #expect(try Self.isServed(gateway, by: "stable"))
            #expect(try Self.count(gateway, "reads") == 1)
        }

        @Test func theLastSetServesWhileEtcdIsAway() throws {
            let (first, second) = (try Discovery.named("first"), try Discovery.named("second"))
            let etcd = try EtcdServer()
            try etcd.control("put", "/web/it", first.endpoint)
            let gateway = try Self.gateway(etcd)
            #expect(try Self.isServed(gateway, by: "first"))
            try etcd.kill()
            try waitUntil("it is degraded") { try Self.degraded(gateway) }
            let failures = try gateway.metric("sluice_discovery_failures_total")
            try waitUntil("it is tried again") { try gateway.metric("sluice_discovery_failures_total") > failures + 2 }
            #expect(try Self.status(gateway).contains("degraded: etcd: 127.0.0.1:\(etcd.clientPort): "))
            try gateway.awaitLog("discovery of web/1 is degraded: etcd: ")
            #expect(try Self.isServed(gateway, by: "first"))
            // A reload begins with the last set, too.
            #expect(try gateway.reload().status == 0)
            #expect(try Self.isServed(gateway, by: "first"))
            try etcd.restart()
            try waitUntil("it is followed again") { try !Self.degraded(gateway) }
            try etcd.control("put", "/web/it", second.endpoint)
            try waitUntil("the change is seen") { try Self.isServed(gateway, by: "second") }
            #expect(try Discovery.endpoints(gateway) == 1)
        }

        @Test func aFrozenEtcdIsNoticedAndFollowedAgain() throws {
            let (first, second) = (try Discovery.named("first"), try Discovery.named("second"))
            let etcd = try EtcdServer()
            try etcd.control("put", "/web/it", first.endpoint)
            let gateway = try Self.gateway(etcd)
            etcd.process.signal(SIGSTOP)
            try waitUntil("it is degraded") { try Self.degraded(gateway) }
            try waitUntil("status says why") { try Self.status(gateway).contains("does not answer in time") }
            #expect(try Self.isServed(gateway, by: "first"))
            etcd.process.signal(SIGCONT)
            try waitUntil("it is followed again") { try !Self.degraded(gateway) }
            try etcd.control("put", "/web/it", second.endpoint)
            try waitUntil("the change is seen") { try Self.isServed(gateway, by: "second") }
        }

        @Test func aStoreThatForgotItsHistoryIsReadAnew() throws {
            let (first, second) = (try Discovery.named("first"), try Discovery.named("second"))
            let etcd = try EtcdServer()
            try etcd.control("put", "/web/it", first.endpoint)
            let gateway = try Self.gateway(etcd)
            try etcd.kill()
            try etcd.restart()
            try etcd.control("put", "/web/it", second.endpoint)
            for index in 0..<5 { try etcd.control("put", "/web/gone", "127.0.0.1:\(index + 1)") }
            try etcd.control("del", "/web/gone")
            try etcd.control("compact", "8")
            try waitUntil("the change is seen") { try Self.isServed(gateway, by: "second") }
            try waitUntil("nothing else is left") { try Discovery.endpoints(gateway) == 1 }
            try waitUntil("it is followed") { try !Self.degraded(gateway) }
        }

        @Test func anotherMemberIsAskedWhenOneIsLost() throws {
            let (first, second) = (try Discovery.named("first"), try Discovery.named("second"))
            // Two clusters with the same keys do for two members: which is asked is all that counts.
            let servers = [try EtcdServer(), try EtcdServer()]
            try servers[0].control("put", "/web/it", first.endpoint)
            try servers[1].control("put", "/web/it", second.endpoint)
            let gateway = try Self.gateway(servers[0], servers[1])
            let isFirst = try Self.isServed(gateway, by: "first")
            try servers[isFirst ? 0 : 1].kill()
            try waitUntil("the other is followed") { try Self.isServed(gateway, by: isFirst ? "second" : "first") }
            // One that is lost is no failure of the source.
            #expect(try gateway.metric("sluice_discovery_failures_total") == 0)
            #expect(try Self.count(gateway, "losses") >= 1)
        }

        @Test func manyKeysAreReadInPages() throws {
            let etcd = try EtcdServer()
            func coded(_ text: String) -> String { Data(text.utf8).base64EncodedString() }
            for begin in stride(from: 0, to: 2_100, by: 100) {
                let puts = (begin..<begin + 100).map { number in
                    let (key, value) = (coded("/web/\(number)"), coded("127.1.\(number / 250).\(number % 250 + 1):80"))
                    return #"{"request_put":{"key":"\#(key)","value":"\#(value)"}}"#
                }
                let transaction = #"{"success":[\#(puts.joined(separator: ","))]}"#
                _ = try curl(["--fail", "--data", transaction, etcd.endpoint + "/v3/kv/txn"])
            }
            let gateway = try Self.gateway(etcd)
            #expect(try Discovery.endpoints(gateway) == 2_100)
            // Checks find nothing amiss.
            try waitUntil("it is checked") { try Self.count(gateway, "checks") >= 2 }
            #expect(try Self.count(gateway, "reads") == 1)
        }

        @Test func badValuesAreToldAndTheRestIsTaken() throws {
            let (first, second) = (try Discovery.named("first"), try Discovery.named("second"))
            let etcd = try EtcdServer()
            try etcd.control("put", "/web/a", first.endpoint)
            try etcd.control("put", "/web/b", "{ \"adress\": 1 }")
            let gateway = try Self.gateway(etcd)
            #expect(try Self.isServed(gateway, by: "first"))
            try waitUntil("the value is complained of") {
                try Self.status(gateway).contains("degraded: the value of `/web/b` is no endpoint: ")
            }
            // A good one that becomes bad stays what it was.
            try etcd.control("put", "/web/a", "not an endpoint")
            try waitUntil("both are complained of") { try Self.status(gateway).contains("`/web/a` is no endpoint") }
            #expect(try Self.isServed(gateway, by: "first"))
            try etcd.control("put", "/web/a", second.endpoint)
            try etcd.control("del", "/web/b")
            try waitUntil("the change is seen") { try Self.isServed(gateway, by: "second") }
            try waitUntil("all is well") { try !Self.degraded(gateway) }
        }

        @Test func nothingUnderThePrefixKeepsTheLastSet() throws {
            let backend = try Discovery.named("it")
            let etcd = try EtcdServer()
            try etcd.control("put", "/web/it", backend.endpoint)
            let gateway = try Self.gateway(etcd)
            try etcd.control("del", "/web/it")
            try waitUntil("the empty set came") { try Self.degraded(gateway) }
            #expect(try Self.isServed(gateway, by: "it"))
            let emptying = try Self.gateway(etcd, more: "when_empty: empty")
            #expect(try emptying.get("/").status == 503)
            try etcd.control("put", "/web/it", backend.endpoint)
            try waitUntil("it serves") { try emptying.get("/").status == 200 }
        }

        @Test func whoHasAPasswordIsLetIn() throws {
            let (first, second) = (try Discovery.named("first"), try Discovery.named("second"))
            let etcd = try EtcdServer()
            try etcd.control("put", "/web/it", first.endpoint)
            try etcd.control("user", "add", "root:r")
            try etcd.control("user", "add", "sluice:s3cret-of-etcd")
            try etcd.control("role", "add", "reader")
            try etcd.control("role", "grant-permission", "--prefix=true", "reader", "read", "/web/")
            try etcd.control("user", "grant-role", "sluice", "reader")
            try etcd.control("user", "grant-role", "root", "root")
            try etcd.control("auth", "enable")
            etcd.user = "root:r"
            let login = "username: sluice\n            password: ${ETCD_PASSWORD}"
            func gateway(_ password: String) throws -> Gateway {
                let directory = try TemporaryDirectory()
                let configuration = Self.configuration([etcd.endpoint], config: login, more: "keep_last_seconds: 60")
                return try Gateway(
                    text: configuration.text(in: directory), in: directory, environment: ["ETCD_PASSWORD": password])
            }
            let good = try gateway("s3cret-of-etcd")
            #expect(try Self.isServed(good, by: "first"))
            try etcd.control("put", "/web/it", second.endpoint)
            try waitUntil("the change is seen") { try Self.isServed(good, by: "second") }
            let bad = try gateway("another-s3cret")
            #expect(try bad.get("/").status == 503)
            #expect(try Self.status(bad).contains("`sluice` is not let in"))
            #expect(!(bad.log + good.log).contains("s3cret"))
            // A restart forgets the tokens.
            try etcd.kill()
            try etcd.restart()
            try etcd.control("put", "/web/it", first.endpoint)
            try waitUntil("it is followed again") { try Self.isServed(good, by: "first") }
        }

        @Test func membersOverTLSHaveToBeThemselves() throws {
            let backend = try Discovery.named("it")
            let certificates = try Certificates()
            try certificates.make("etcd", "IP:127.0.0.1,DNS:etcd.test")
            let etcd = try EtcdServer(certificates: certificates)
            try etcd.control("put", "/web/it", backend.endpoint)
            let own = "certificate_file: \(certificates.file("etcd.pem")), key_file: \(certificates.file("etcd.key"))"
            let known = "ca_file: \(certificates.file("ca.pem")), \(own)"
            #expect(try Self.isServed(Self.gateway(etcd, config: "tls: { \(known) }"), by: "it"))
            #expect(
                try Self.isServed(Self.gateway(etcd, config: "tls: { \(known), server_name: etcd.test }"), by: "it"))
            for (tls, reason) in [
                (own, "TLS: "), ("\(known), server_name: other.test", "TLS: hostname mismatch"),
            ] {
                let gateway = try Self.gateway(etcd, config: "tls: { \(tls) }")
                #expect(try gateway.get("/").status == 503)
                #expect(try Self.status(gateway).contains(reason))
            }
        }

        @Test func aMemberThatIsNoEtcdIsLeft() throws {
            let silent = try ScriptedBackend { connection in _ = try connection.reader.request(.ordinary) }
            let noise = try ScriptedBackend { connection, _ in
                connection.socket.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nnonsense\n")
            }
            for (backend, reason) in [(silent, "ended within an answer"), (noise, "an answer cannot be read")] {
                let gateway = try Gateway(Self.configuration([backend.endpoint]))
                #expect(try gateway.get("/").status == 503)
                #expect(try Self.status(gateway).contains(reason))
                #expect(try gateway.stop() == 0)
            }
        }

        /// A member that is no real one: two watches that go wrong as a real one's hardly can be made to.
        @Test func aWatchThatIsCutOrMissesSomethingIsLeft() throws {
            let backends = [try Discovery.named("a"), try Discovery.named("b"), try Discovery.named("c")]
            let release = Gate()
            defer { release.open() }
            let (reads, watches) = (Count(), Count())
            func coded(_ text: String) -> String { Data(text.utf8).base64EncodedString() }
            let entries = backends.enumerated().map { index, backend in
                let (key, value) = (coded("/web/\(index)"), coded(backend.endpoint))
                return #"{"key":"\#(key)","mod_revision":"\#(index + 2)","value":"\#(value)"}"#
            }
            let etcd = try ScriptedBackend { connection, request in
                if request.target == "/v3/kv/range" {
                    // Each time all is read there is one more, and a check knows of it while the second watch lasts.
                    let isCheck = text(request.body).contains("DESCEND")
                    let count = isCheck ? max(reads.value, min(watches.value + 1, 3)) : min(reads.next(), 3)
                    let kvs = isCheck ? [entries[count - 1]] : Array(entries[..<count])
                    let list = kvs.joined(separator: ",")
                    connection.answer(200, #"{"header":{"revision":"9"},"kvs":[\#(list)],"count":"\#(count)"}"#)
                    return
                }
                var lines = [#"{"result":{"created":true}}"# + "\n"]
                let isFirst = watches.next() == 1
                if isFirst { lines.append(#"{"result":{"canceled":true,"compact_revision":"12"}}"# + "\n") }
                let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                let body = lines.map { "\(String($0.utf8.count, radix: 16))\r\n\($0)\r\n" }
                connection.socket.send(head + body.joined())
                if !isFirst { release.wait() }
            }
            let gateway = try Gateway(Self.configuration([etcd.endpoint]))
            // The first watch began too late; the second says nothing of the third endpoint, which a check finds.
            try waitUntil("the third endpoint is found") { try Discovery.endpoints(gateway) == 3 }
            #expect(watches.value == 3)
            try waitUntil("it is followed") { try !Self.degraded(gateway) }
            // All that there is was told: the third watch stays.
            let checks = try Self.count(gateway, "checks")
            try waitUntil("it is checked on") { try Self.count(gateway, "checks") >= checks + 3 }
            #expect(watches.value == 3)
        }

        /// Counted by the threads of a backend.
        final class Count: @unchecked Sendable {
            private let lock = NSLock()
            private var count = 0
            var value: Int { lock.withLock { count } }
            func next() -> Int {
                lock.withLock {
                    count += 1
                    return count
                }
            }
        }

        @Test func mistakesInTheConfigurationAreToldWithTheirPlace() throws {
            let directory = try TemporaryDirectory()
            let good = Self.configuration(["http://127.0.0.1:2379"]).text(in: directory)
            let list = "endpoints: [ \"http://127.0.0.1:2379\" ]"
            for (from, to, message) in [
                (list, "endpoints: [ ]", "expected 1 to 16 endpoints"),
                (list, "endpoints: [ \"127.0.0.1:2379\" ]", "expected `http://host:port`"),
                (list, "endpoints: [ \"http://a\", \"http://a:2379/\" ]", "it stands twice"),
                ("prefix: /web/", "prefix: \"\"", "the prefix must not be empty"),
                ("prefix: /web/", "username: a", "'prefix' is missing"),
                ("timeout_ms: 1000", "username: a", "`username` and `password` go together"),
                ("timeout_ms: 1000", "tls: { }", "no endpoint begins with `https://`"),
                ("timeout_ms: 1000", "tiemout_ms: 1000", "unknown key 'tiemout_ms'"),
                (list, "endpoints: [ \"https://a\" ]\n            tls: { ca_file: /none }", "it cannot be opened"),
            ] {
                try directory.write("plugins.yaml", good.replacingOccurrences(of: from, with: to))
                let checked = try Gateway.command(["check", "--config", directory.file("plugins.yaml")])
                #expect(checked.status == 1)
                #expect(checked.errors.contains("plugins.yaml:") && checked.errors.contains(message), "\(checked)")
            }
        }

        /// Nobody is asked for a passphrase, and no pipe is waited for: either would hold up whatever an operator asks.
        @Test func filesOfTLSAreReadWithoutWaitingForAnybody() throws {
            let certificates = try Certificates()
            try certificates.make("own", "DNS:own.test")
            try certificates.make("other", "DNS:other.test")
            try certificates.openssl([
                "ec", "-in", certificates.file("own.key"), "-aes128", "-passout", "pass:s3cret", "-out",
                certificates.file("locked.key"),
            ])
            let pipe = certificates.file("pipe.pem")
            try #require(mkfifo(pipe, 0o600) == 0)
            let whole = try String(contentsOfFile: certificates.file("own.pem"), encoding: .utf8)
            try certificates.directory.write("cut.pem", whole + whole.dropLast(200))
            let directory = try TemporaryDirectory()
            let good = Self.configuration(["https://127.0.0.1:2379"], config: "tls: { TLS }").text(in: directory)
            let own = "certificate_file: \(certificates.file("own.pem"))"
            for (tls, message) in [
                ("\(own), key_file: \(certificates.file("locked.key"))", "can be read without a passphrase"),
                ("\(own), key_file: \(pipe)", "it is no regular file"),
                ("certificate_file: \(pipe), key_file: \(pipe)", "it is no regular file"),
                ("ca_file: \(pipe)", "it is no regular file"),
                ("ca_file: ca.pem", "the path must be absolute"),
                ("\(own), key_file: \(certificates.file("other.key"))", "does not fit the certificate"),
                ("ca_file: \(certificates.file("own.key"))", "no certificates in PEM"),
                ("ca_file: \(certificates.file("cut.pem"))", "certificate 2 of the file cannot be read"),
            ] {
                try directory.write("plugins.yaml", good.replacingOccurrences(of: "TLS", with: tls))
                let checked = try Gateway.command(["check", "--config", directory.file("plugins.yaml")])
                #expect(checked.status == 1)
                #expect(checked.errors.contains(message), "\(tls): \(checked)")
                #expect(!(checked.errors + checked.output).contains("pass phrase"))
            }
        }
    }
}
