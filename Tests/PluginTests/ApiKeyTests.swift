import Foundation
import SluiceABI
import Testing

@Suite struct ApiKeyTests {
    let host = FakeHost()
    static let keys: ConfigTree = [
        ["key": "s3cret", "tenant": "acme"], ["key": "s3cret-and-longer", "tenant": "globex"],
        ["key": "other!", "tenant": "initech"],
    ]

    @Test(arguments: [
        ("x-api-key", "s3cret", "acme"), ("X-API-Key", "s3cret-and-longer", "globex"),
        ("x-api-key", " other! ", "initech"),
        ("Authorization", "Bearer s3cret", "acme"), ("authorization", "bearer  other!", "initech"),
    ])
    func aKnownKeyPassesAndNamesItsTenant(name: String, value: String, tenant: String) throws {
        let filter = try FilterUnderTest("ApiKey", host, config: ["keys": Self.keys])
        let exchange = FakeExchange(fields: [("host", "x"), (name, value)])
        #expect(filter.onRequest(exchange) == SLUICE_OK)
        #expect(text(exchange.request.pointee.tenant) == tenant)
        #expect(exchange.edits == [.init(side: UInt32(SLUICE_SIDE_REQUEST), name: name.lowercased(), value: nil)])
    }

    /// Of "abc".
    static let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

    @Test(arguments: [sha256, sha256.uppercased()]) func aKeyMayBeGivenAsItsDigest(digest: String) throws {
        let config: ConfigTree = ["keys": [["key": .scalar("sha256:" + digest), "tenant": "acme"]]]
        let filter = try FilterUnderTest("ApiKey", host, config: config)
        let exchange = FakeExchange(fields: [("x-api-key", "abc")])
        #expect(filter.onRequest(exchange) == SLUICE_OK)
        #expect(text(exchange.request.pointee.tenant) == "acme")
        // Who has seen the configuration has no key.
        for shown in ["sha256:" + digest, digest, "abd"] {
            #expect(filter.onRequest(FakeExchange(fields: [("x-api-key", shown)])) == SLUICE_UNAUTHENTICATED)
        }
    }

    @Test func keysComeFromAFileAsWell() throws {
        let path = NSTemporaryDirectory() + "sluice-keys-\(UUID().uuidString)"
        defer { unlink(path) }
        func tenants(_ shown: [String]) throws -> [String] {
            let filter = try FilterUnderTest(
                "ApiKey", host, config: ["keys": Self.keys, "key_file": .scalar(path)])
            return shown.map { key in
                let exchange = FakeExchange(fields: [("x-api-key", key)])
                return filter.onRequest(exchange) == SLUICE_OK ? text(exchange.request.pointee.tenant) : "-"
            }
        }
        try "# of 2026\n\nsha256:\(Self.sha256)\tumbrella corp \r\n  plain wayne\n".write(
            toFile: path, atomically: true, encoding: .utf8)
        #expect(try tenants(["abc", "plain", "s3cret", "new"]) == ["umbrella corp", "wayne", "acme", "-"])
        try "new wayne".write(toFile: path, atomically: true, encoding: .utf8)
        #expect(try tenants(["abc", "plain", "s3cret", "new"]) == ["-", "-", "acme", "wayne"])
        try "fine a\ns3cret b".write(toFile: path, atomically: true, encoding: .utf8)
        #expect(throws: LoadedPlugin.Failure.self) { try tenants([]) }
        #expect(host.configurationErrors.last?.text == "\(path):2: this key is there already")
        #expect(host.configurationErrors.allSatisfy { !$0.text.contains("s3cret") })
    }

    @Test func manyKeysAreFound() throws {
        let keys: [ConfigTree] = (0..<3_000).map {
            ["key": .scalar("key-\($0)"), "tenant": .scalar("t\($0 % 7)")]
        }
        let filter = try FilterUnderTest("ApiKey", host, config: ["keys": .sequence(keys)])
        for index in 0..<3_000 {
            let exchange = FakeExchange(fields: [("x-api-key", "key-\(index)")])
            guard filter.onRequest(exchange) == SLUICE_OK,
                text(exchange.request.pointee.tenant) == "t\(index % 7)"
            else {
                Issue.record("key \(index) is not found")
                return
            }
        }
        #expect(filter.onRequest(FakeExchange(fields: [("x-api-key", "key-3000")])) == SLUICE_UNAUTHENTICATED)
    }

    @Test(arguments: [
        "", "s3cre", "s3crett", "S3cret", "s3cret-and-longe", "other?", "s3cret\0", "s3cret-and-longer-still",
    ])
    func anUnknownKeyIsRefused(key: String) throws {
        let filter = try FilterUnderTest("ApiKey", host, config: ["keys": Self.keys])
        let exchange = FakeExchange(fields: [("x-api-key", key)])
        #expect(filter.onRequest(exchange) == SLUICE_UNAUTHENTICATED)
        #expect(host.failure == "the API key is not known")
        #expect(exchange.request.pointee.tenant.size == 0)
        #expect(host.metric("refused_total")?.value == 1)
        let challenge = FakeExchange.Edit(
            side: UInt32(SLUICE_SIDE_RESPONSE), name: "www-authenticate", value: "Bearer")
        #expect(exchange.edits == [challenge])
    }

    @Test(arguments: [[], [("authorization", "Basic czNjcmV0")], [("authorization", "Bearers3cret")]])
    func noKeyIsRefused(fields: [(String, String)]) throws {
        let filter = try FilterUnderTest("ApiKey", host, config: ["keys": Self.keys])
        #expect(filter.onRequest(FakeExchange(fields: fields)) == SLUICE_UNAUTHENTICATED)
        #expect(host.failure == "an API key is needed")
    }

    /// Clients that show the key in both places mean the same by it; what is no key of ours is the endpoint's.
    @Test(arguments: [("Bearer s3cret", true), ("Bearer other!", true), ("Bearer of-the-endpoint", false)])
    func noKeyReachesTheEndpoint(authorization: String, removed: Bool) throws {
        let filter = try FilterUnderTest("ApiKey", host, config: ["keys": Self.keys])
        let exchange = FakeExchange(fields: [("x-api-key", "s3cret"), ("authorization", authorization)])
        #expect(filter.onRequest(exchange) == SLUICE_OK)
        let taken = exchange.edits.filter { $0.value == nil }.map(\.name)
        #expect(taken == (removed ? ["x-api-key", "authorization"] : ["x-api-key"]))
    }

    @Test func theHeaderIsConfigurable() throws {
        let filter = try FilterUnderTest(
            "ApiKey", host, config: ["header": "X-Acme", "bearer": false, "forward": true, "keys": Self.keys])
        let exchange = FakeExchange(fields: [("x-acme", "other!")])
        #expect(filter.onRequest(exchange) == SLUICE_OK)
        #expect(exchange.edits.isEmpty)
        let bearer = FakeExchange(fields: [("authorization", "Bearer s3cret")])
        #expect(filter.onRequest(bearer) == SLUICE_UNAUTHENTICATED)
        #expect(bearer.edits.isEmpty)
    }

    @Test(
        arguments: [
            ([:], ""), (["keys": []], ""), (["keys": [["tenant": "acme"]]], "keys[0]"),
            (["keys": [["key": "", "tenant": "acme"]]], "keys[0].key"),
            (["keys": [["key": "a", "tenant": "x"], ["key": "a", "tenant": "y"]]], "keys[1].key"),
            (["keys": [["key": "a", "tenant": "x", "tennant": "y"]]], "keys[0].tennant"),
            (["keys": "a"], "keys"), (["keys": keys, "bearer": "perhaps"], "bearer"),
            (["keys": keys, "header": ""], "header"), (["keys": keys, "header": "x-api-key:"], "header"),
            (["keys": [["key": "sha256:1234", "tenant": "x"]]], "keys[0].key"),
            (
                ["keys": [["key": .scalar("sha256:" + sha256), "tenant": "x"], ["key": "abc", "tenant": "y"]]],
                "keys[1].key"
            ),
            (["keys": [["key": .scalar(String(repeating: "a", count: 4_097)), "tenant": "x"]]], "keys[0].key"),
            (["key_file": "keys"], "key_file"), (["key_file": "/nowhere/keys"], "key_file"),
            (["key_file": "/dev/null"], "key_file"),
        ] as [(ConfigTree, String)])
    func aWrongConfigurationIsNamedByItsPlace(config: ConfigTree, path: String) throws {
        let table = try LoadedPlugin("ApiKey").table(SLUICE_FILTER, as: sluice_filter.self)
        let (status, instance) = host.create(table.pointee.base, config: config)
        #expect(status == SLUICE_INVALID_ARGUMENT)
        #expect(instance == nil)
        #expect(host.configurationErrors.map(\.path) == [path])
    }
}

/// A filter's library with one instance of it.
final class FilterUnderTest {
    private let plugin: LoadedPlugin
    let table: UnsafePointer<sluice_filter>
    private let onFailure:
        (
            @convention(c) (
                UnsafeMutableRawPointer?, OpaquePointer?, UnsafePointer<sluice_request>?, sluice_status,
                UnsafeMutablePointer<sluice_response>?
            ) -> sluice_status
        )?
    private let onError: (@convention(c) (UnsafeMutableRawPointer?, OpaquePointer?, sluice_status) -> Void)?
    let instance: UnsafeMutableRawPointer

    init(_ library: String, _ host: FakeHost, config: ConfigTree = .null, name: String = "plugin") throws {
        plugin = try LoadedPlugin(library)
        // One of version 2 begins as one of version 1 does.
        if let second = try? plugin.table(SLUICE_FILTER_2, as: sluice_filter_2.self) {
            table = UnsafeRawPointer(second).assumingMemoryBound(to: sluice_filter.self)
            onFailure = second.pointee.on_failure
            onError = second.pointee.on_error
        } else {
            table = try plugin.table(SLUICE_FILTER, as: sluice_filter.self)
            onFailure = nil
            onError = nil
        }
        let made = host.create(table.pointee.base, config: config, name: name)
        guard let instance = made.instance else {
            throw LoadedPlugin.Failure(
                description: "no instance: status \(made.status), \(host.failure), \(host.configurationErrors)")
        }
        self.instance = instance
    }

    deinit { table.pointee.base.destroy(instance) }

    func onRequest(_ exchange: FakeExchange) -> sluice_status {
        var answer = sluice_response()
        return table.pointee.on_request(instance, exchange.handle, exchange.request, &answer)
    }

    /// Nil when the filter answers no failures.
    func onFailure(
        _ exchange: FakeExchange, _ failure: sluice_status, _ answer: inout sluice_response
    ) -> sluice_status? {
        onFailure?(instance, exchange.handle, exchange.request, failure, &answer)
    }

    func onError(_ exchange: FakeExchange, _ error: sluice_status) { onError?(instance, exchange.handle, error) }

    func onResponse(_ exchange: FakeExchange, _ response: inout sluice_response) -> sluice_status {
        table.pointee.on_response(instance, exchange.handle, exchange.request, &response)
    }
}
