import ApiKeyFormat
import SluiceDigest
import SluiceHashing
import SluicePlugin

/// Lets pass who shows a known key, and says to the rest of the pipeline whose it is.
///
/// The key stands in a header of its own or in `Authorization: Bearer`. It is taken out of the message toward the
/// endpoint unless `forward` is on: a model server has no use for the gateway's secrets.
///
///     config:
///       header: x-api-key
///       bearer: true
///       forward: false
///       keys: [ { key: "${ACME_KEY}", tenant: acme }, { key: "sha256:9f86…", tenant: globex } ]
///       key_file: /etc/sluice/keys
///
/// Keys may be given as their digests, and digests are all that is kept of them.
struct ApiKey: Filter, ~Copyable {
    static let plugin = PluginDescription(
        name: "api-key", version: "0.1.0", vendor: "Sluice", licence: "Apache-2.0")

    private let header: KeptText
    private let bearer: Bool
    private let forward: Bool
    private var keys = KeyRing()
    private var hash: SHA256Stream
    private let refused: Counter

    init(_ context: Context) throws(PluginError) {
        let config = context.config
        try config.allow(["header", "bearer", "forward", "keys", "key_file"])
        let name = try config.text("header", default: "x-api-key")
        let header = KeptText(name)
        guard header.withBytes({ $0.isToken }) else { throw config["header"].error("`\(name)` is no header's name") }
        let bearer = try config.boolean("bearer", default: true)
        let forward = try config.boolean("forward", default: false)
        let refused = try context.metrics.counter("refused_total", "Requests without a known API key.")
        var hash = try context.sha256()
        let keys = try Self.keys(context, &hash)
        self.header = header
        self.bearer = bearer
        self.forward = forward
        self.refused = refused
        self.hash = hash
        self.keys = keys
    }

    private static func keys(
        _ context: Context, _ hash: inout SHA256Stream
    ) throws(PluginError) -> KeyRing {
        let config = context.config
        var keys = KeyRing()
        /// False when the key is there already.
        func add(_ key: GivenKey, _ tenant: String) throws(PluginError) -> Bool {
            switch key {
            case .digest(let digest): return keys.add(digest, tenant: kept(tenant))
            case .plain(let bytes):
                return keys.add(try context.digest(of: bytes, &hash), tenant: kept(tenant))
            }
        }
        // By their bytes, which is how the rest of the gateway compares them.
        var tenants: [[UInt8]: KeptText] = [:]
        func kept(_ tenant: String) -> KeptText {
            let text = tenants[Array(tenant.utf8)] ?? KeptText(tenant)
            tenants[Array(tenant.utf8)] = text
            return text
        }
        for entry in try config["keys"].elements() {
            try entry.allow(["key", "tenant"])
            let text = try entry.required("key")
            let tenant = try entry.required("tenant")
            if tenant.isEmpty { throw entry["tenant"].error("a tenant's name is not empty") }
            if keys.count == KeyRing.limit { throw entry.error("more than \(KeyRing.limit) keys") }
            let key: GivenKey
            do throws(GivenKey.Problem) {
                key = try GivenKey(Array(text.utf8))
            } catch {
                throw entry["key"].error(error.text)
            }
            if try !add(key, tenant) { throw entry["key"].error("this key is there already") }
        }
        let file = config["key_file"]
        if !file.isNull {
            let path = try file.absolutePath()
            let entries = try entries(file, path, atMost: KeyRing.limit - keys.count)
            for entry in entries where try !add(entry.key, entry.tenant) {
                throw file.error("\(path):\(entry.line): this key is there already")
            }
        }
        if keys.count == 0 { throw config.error("neither 'keys' nor 'key_file' has a key: nobody could pass") }
        return keys
    }

    private static func entries(
        _ named: Configuration, _ path: String, atMost count: Int
    ) throws(PluginError) -> [KeyFile.Entry] {
        let bytes: [UInt8]
        do throws(RegularFile.Failure) {
            bytes = try RegularFile(path).content(atMost: KeyFile.bytesAtMost)
        } catch { throw named.error("\(path) \(error.text)") }
        do throws(KeyFile.Problem) { return try KeyFile(bytes, entriesAtMost: count).entries } catch {
            throw named.error("\(path):\(error.line): \(error.text)")
        }
    }

    mutating func onRequest(
        _ request: MutableRequest, answer: MutableResponse, exchange: Exchange
    ) throws(PluginError) -> FilterVerdict {
        var shown = exchange.header(header)?.trimmed
        var byBearer = false
        if shown == nil, bearer, let authorization = exchange.header("authorization")?.trimmed,
            authorization.hasPrefixIgnoringCase("bearer ")
        {
            shown = authorization.dropFirst(7).trimmed
            byBearer = true
        }
        guard let shown else {
            throw try refuse(exchange, "an API key is needed")
        }
        guard let owner = owner(of: shown) else { throw try refuse(exchange, "the API key is not known") }
        // The name lives in this instance, but what the request points to must live in the exchange.
        request.tenant = try exchange.copy(keys.tenant(owner))
        if !forward {
            if byBearer {
                try exchange.removeField(.request, Bytes("authorization"))
            } else {
                try header.withBytes { name throws(PluginError) in try exchange.removeField(.request, name) }
                // Clients that show one in each place mean the same: neither is for the endpoint.
                if bearer, showsKnownKey(exchange) {
                    try exchange.removeField(.request, Bytes("authorization"))
                }
            }
        }
        return .pass
    }

    /// Index of the key in the ring.
    private mutating func owner(of shown: Bytes) -> Int? {
        guard shown.count <= GivenKey.bytesAtMost, let digest = hash.digest(of: shown) else { return nil }
        return keys.owner(of: digest)
    }

    private mutating func showsKnownKey(_ exchange: Exchange) -> Bool {
        guard let authorization = exchange.header("authorization")?.trimmed,
            authorization.hasPrefixIgnoringCase("bearer ")
        else { return false }
        return owner(of: authorization.dropFirst(7).trimmed) != nil
    }

    private func refuse(_ exchange: Exchange, _ message: StaticString) throws(PluginError) -> PluginError {
        refused.add()
        // A 401 must say how to authenticate: RFC 9110 section 11.6.1.
        if bearer { try exchange.setField(.response, Bytes("www-authenticate"), Bytes("Bearer")) }
        return PluginError(.unauthenticated, message)
    }
}

@c(sluice_plugin_entry) public func entry(host: UInt32) -> PluginEntry { export(host, ApiKey.self) }
