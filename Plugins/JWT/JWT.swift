import SluiceDigest
import SluicePlugin
import TokenFormat

/// Lets pass who shows a signed token (RFC 7519, RFC 6750), and says to the rest of the pipeline whose it is.
///
/// A signature costs more than all the rest of a request, so it is checked on a thread of the host's pool while the
/// request is suspended. A token that was found good is known again by its SHA-256 until it expires.
///
///     config:
///       jwks_file: /etc/sluice/jwks.json
///       issuer: https://login.example.com
///       audience: models
///       tenant: org
///       headers: { x-user: sub }
struct JWT: Filter, ~Copyable {
    static let plugin = PluginDescription(name: "jwt", version: "0.1.0", vendor: "Sluice", licence: "Apache-2.0")

    private let options: Options
    private let host: Host
    private let keys: FollowedKeys
    private let life: LifelineEnd
    private var hash: SHA256Stream
    private var cache: TokenCache
    /// `keys.version` that the cache is of.
    private var cachedVersion = 0
    private var verifications: Verifications
    private let share: PoolShare

    private let metrics: TokenMetrics

    init(_ context: Context) throws(PluginError) {
        let options = try Options(context.config)
        let metrics = try TokenMetrics(context.metrics)
        let hash = try context.sha256()
        let share = PoolShare(
            try context.state.counters("queued", count: 1), ownAtMost: options.waitingOfWorker,
            allAtMost: options.waiting)
        // Nothing fails from here on.
        let life = LifelineEnd()
        let verifier = Verifier(policy: options.policy, mapping: options.mapping)
        verifications = Verifications { [line = life.line, size = options.tokenBytes] in
            Verification(capacity: size, verifier, line, share)
        }
        // The first worker tells for all.
        keys = FollowedKeys(
            options.keys, file: options.file, pollNs: options.pollNs, host: context.host,
            tells: (context.worker ?? 0) == 0, metrics.keys)
        cache = TokenCache(capacity: options.cacheEntries)
        self.hash = hash
        self.life = life
        self.share = share
        self.options = options
        self.metrics = metrics
        host = context.host
    }

    mutating func onRequest(
        _ request: MutableRequest, answer: MutableResponse, exchange: Exchange
    ) throws(PluginError) -> FilterVerdict {
        if exchange.resumed {
            let waiter = exchange.suspension.token
            if let verification = verifications.awaited(by: waiter) {
                guard let result = verification.result else { return .pending }
                return try end(verification, waiter, result, request, exchange)
            }
        }
        guard let token = try shown(request, exchange) else {
            if options.optional {
                try setFields(nil, exchange)
                return .pass
            }
            throw try refuse(.missing, exchange)
        }
        guard token.count <= options.tokenBytes else { throw try refuse(.tooLong, exchange) }
        if cachedVersion != keys.version {
            cachedVersion = keys.version
            cache.removeAll()
        }
        guard let digest = hash.digest(of: token) else {
            throw PluginError(.internal, "the token cannot be checked")
        }
        let now = host.clock.wall
        if let known = cache.find(digest, now: now) {
            metrics.hits.add()
            return try admit(known, request, exchange)
        }
        metrics.misses.add()
        guard share.enter() else { throw turnAway() }
        let verification = verifications.take()
        let suspension = exchange.suspension
        verification.prepare(token, digest, keys.current, now: now, suspension)
        guard host.offload.run(verification) else {
            share.leave()
            verifications.give(verification)
            throw turnAway()
        }
        verifications.wait(suspension.token, for: verification)
        return .pending
    }

    mutating func onCancel(exchange: Exchange) { verifications.end(exchange.suspension.token) }

    // MARK: The way of a token

    /// The token that the request shows; nil when it shows none.
    private func shown(_ request: MutableRequest, _ exchange: Exchange) throws(PluginError) -> Bytes? {
        var found: Bytes?
        for field in request.message.fields where options.header.equalsIgnoringCase(field.name) {
            // The endpoint might look at the other one.
            if found != nil { throw try refuse(.repeated, exchange) }
            found = field.value.trimmed
        }
        guard let value = found, !value.isEmpty else { return nil }
        if value.hasPrefixIgnoringCase("bearer ") { return value.dropFirst(7).trimmed }
        // Another scheme's credentials are none for us.
        return options.needsScheme ? nil : value
    }

    private func turnAway() -> PluginError {
        metrics.busy.add()
        return PluginError(.unavailable, "too many tokens wait to be checked")
    }

    private mutating func end(
        _ verification: Verification, _ waiter: UInt64, _ result: Result<VerifiedToken, Refusal>,
        _ request: MutableRequest, _ exchange: Exchange
    ) throws(PluginError) -> FilterVerdict {
        verifications.end(waiter)
        // Keys that were taken out meanwhile verify nothing that is kept.
        let isOfThese = verification.keys === keys.current && cachedVersion == keys.version
        let digest = verification.digest
        verifications.give(verification)
        switch result {
        case .failure(let refusal): throw try refuse(refusal, exchange)
        case .success(let token):
            if isOfThese { cache.insert(token, digest) }
            return try admit(token, request, exchange)
        }
    }

    private func admit(
        _ token: VerifiedToken, _ request: MutableRequest, _ exchange: Exchange
    ) throws(PluginError) -> FilterVerdict {
        if let tenant = token.tenant { request.tenant = try exchange.copy(tenant) }
        if !options.forward {
            try options.header.withBytes { name throws(PluginError) in try exchange.removeField(.request, name) }
        }
        try setFields(token, exchange)
        metrics.accepted.add()
        return .pass
    }

    /// Puts claims into the fields that they are mapped to. Where there is none, what the client wrote there goes.
    private func setFields(_ token: VerifiedToken?, _ exchange: Exchange) throws(PluginError) {
        for index in options.mapping.fields.indices {
            let name = options.mapping.fields[index].field
            let value = token?.fields[index]
            try name.withBytes { name throws(PluginError) in
                guard let value else { return try exchange.removeField(.request, name) }
                try value.withBytes { value throws(PluginError) in try exchange.setField(.request, name, value) }
            }
        }
    }

    private func refuse(_ refusal: Refusal, _ exchange: Exchange) throws(PluginError) -> PluginError {
        metrics.refused(refusal)
        try options.challenges[refusal].withBytes { value throws(PluginError) in
            try exchange.setField(.response, Bytes("www-authenticate"), value)
        }
        switch refusal {
        case .repeated, .tooLong: return PluginError(.invalidArgument, refusal.text)
        case .scope: return PluginError(.permissionDenied, refusal.text)
        default: return PluginError(.unauthenticated, refusal.text)
        }
    }
}

@c(sluice_plugin_entry) public func entry(host: UInt32) -> PluginEntry { export(host, JWT.self) }
