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
///       keys: [ { key: "${ACME_KEY}", tenant: acme } ]
struct ApiKey: Filter {
    static let plugin = PluginDescription(
        name: "api-key", version: "0.1.0", vendor: "Sluice", licence: "Apache-2.0")

    private let header: KeptText
    private let bearer: Bool
    private let forward: Bool
    private var keys = KeyRing()
    private let refused: Counter

    init(_ context: Context) throws(PluginError) {
        let config = context.config
        try config.allow(["header", "bearer", "forward", "keys"])
        header = KeptText(try config.text("header", default: "x-api-key"))
        bearer = try config.boolean("bearer", default: true)
        forward = try config.boolean("forward", default: false)
        if header.isEmpty { throw config["header"].error("a header's name is not empty") }
        refused = try context.metrics.counter("api_key_refused_total", "Requests without a known API key.")
        for entry in try config["keys"].elements() {
            try entry.allow(["key", "tenant"])
            let key = try entry.required("key")
            let tenant = try entry.required("tenant")
            if key.isEmpty { throw entry["key"].error("a key is not empty; is its environment variable set?") }
            if tenant.isEmpty { throw entry["tenant"].error("a tenant's name is not empty") }
            if keys.contains(key) { throw entry["key"].error("this key is there already") }
            if keys.count == KeyRing.limit { throw entry.error("more than \(KeyRing.limit) keys") }
            keys.add(key, tenant: tenant)
        }
        if keys.count == 0 { throw config.error("'keys' is missing or empty: nobody could pass") }
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
        guard let owner = keys.owner(of: shown) else {
            throw try refuse(exchange, "the API key is not known")
        }
        // The name lives in this instance, but what the request points to must live in the exchange.
        request.tenant = try exchange.copy(keys.tenant(owner))
        if !forward {
            if byBearer {
                try exchange.removeField(.request, Bytes("authorization"))
            } else {
                try header.withBytes { name throws(PluginError) in try exchange.removeField(.request, name) }
            }
        }
        return .pass
    }

    private func refuse(_ exchange: Exchange, _ message: StaticString) throws(PluginError) -> PluginError {
        refused.add()
        // A 401 must say how to authenticate: RFC 9110 section 11.6.1.
        if bearer { try exchange.setField(.response, Bytes("www-authenticate"), Bytes("Bearer")) }
        return PluginError(.unauthenticated, message)
    }
}

@c(sluice_plugin_entry) public func entry(host: UInt32) -> PluginEntry { export(host, ApiKey.self) }
