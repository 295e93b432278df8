import SluicePlugin
import TokenFormat
import TokenKeys

/// What the configuration says.
struct Options {
    let header: KeptText
    /// The header is `Authorization`, where a token has the scheme before it. In another it may have.
    let needsScheme: Bool
    let forward: Bool
    let optional: Bool
    let tokenBytes: Int
    let cacheEntries: Int
    /// Tokens whose signature waits to be checked: of one worker, and of all.
    let waitingOfWorker: Int
    let waiting: Int
    let pollNs: UInt64
    let policy: TokenPolicy
    let mapping: ClaimMapping
    let challenges: Challenges
    let keys: KeySet
    let file: KeyFile?

    private static let keyNames = [
        "header", "jwks_file", "jwks", "poll_seconds", "algorithms", "rsa_algorithm", "issuer", "audience", "type",
        "leeway_seconds", "max_age_seconds", "require_expiry", "require", "scopes", "tenant", "headers", "forward",
        "optional", "realm", "token_bytes", "cache_entries", "waiting_of_worker", "waiting",
    ]
    /// The host carries out 32 edits an exchange for all plugins together.
    private static let fieldsAtMost = 12

    init(_ config: Configuration) throws(PluginError) {
        try config.allow(Self.keyNames)
        let name = try config.text("header", default: "authorization")
        header = KeptText(name)
        guard header.withBytes({ $0.isToken }) else { throw config["header"].error("`\(name)` is no header's name") }
        needsScheme = header.withBytes { $0.equalsIgnoringCase("authorization") }
        forward = try config.boolean("forward", default: false)
        optional = try config.boolean("optional", default: false)
        // Twice what most servers take in one field's line; each verification under way has so much memory.
        tokenBytes = Int(try config.integer("token_bytes", default: 8_192, in: 256...65_536))
        // Some thousand users a worker in turn; an entry takes some 300 bytes.
        cacheEntries = Int(try config.integer("cache_entries", default: 4_096, in: 0...1_048_576))
        waitingOfWorker = Int(
            try config.integer("waiting_of_worker", default: PoolShare.ofWorker, in: 1...PoolShare.atMost))
        waiting = Int(try config.integer("waiting", default: PoolShare.ofAll, in: 1...PoolShare.atMost))
        pollNs = UInt64(try config.integer("poll_seconds", default: 10, in: 1...3_600)) * 1_000_000_000
        policy = try Self.policy(config)
        mapping = try Self.mapping(config)
        challenges = try Challenges(config, scopes: policy.scopes)

        var algorithms = Algorithm.allCases
        if !config["algorithms"].isNull {
            algorithms = []
            for entry in try config["algorithms"].elements() { algorithms.append(try Self.algorithm(entry)) }
        }
        let rsa = config["rsa_algorithm"].isNull ? .rs256 : try Self.algorithm(config["rsa_algorithm"])
        if !rsa.isRSA { throw config["rsa_algorithm"].error("\(rsa.rawValue) is no algorithm of RSA keys") }
        let reading = KeyReading(algorithms: algorithms, rsaAlgorithm: rsa)
        (keys, file) = try Self.keys(config, reading)
    }

    private static func keys(
        _ config: Configuration, _ reading: KeyReading
    ) throws(PluginError) -> (KeySet, KeyFile?) {
        let (inline, place) = (config["jwks"], config["jwks_file"])
        if inline.isNull == place.isNull {
            throw config.error("say where the keys are: either 'jwks_file', a path, or 'jwks', the text itself")
        }
        if !inline.isNull {
            do throws(KeySetFault) { return (try reading.keys(of: Array(try text(inline).utf8)), nil) } catch {
                throw inline.error("the JWK Set cannot be used: \(error.text)")
            }
        }
        let path = try place.absolutePath()
        let file = KeyFile(path, reading)
        switch file.look() {
        case .keys(let keys): return (keys, file)
        case .failure(let reason): throw place.error("the JWK Set \(path) cannot be used: \(reason)")
        case .unchanged: throw place.error("the JWK Set \(path) cannot be used")
        }
    }

    /// The text of a node, for where another error is caught.
    private static func text(_ node: Configuration) throws(KeySetFault) -> String {
        do throws(PluginError) { return try node.text() } catch { throw KeySetFault("it is no text") }
    }

    private static func algorithm(_ entry: Configuration) throws(PluginError) -> Algorithm {
        let name = try entry.text()
        guard let algorithm = Algorithm(rawValue: name) else {
            let why = name == "none" || name.hasPrefix("HS") ? "'\(name)' is never accepted" : "'\(name)' is not known"
            throw entry.error("\(why); known are \(Algorithm.allCases.map(\.rawValue).joined(separator: ", "))")
        }
        return algorithm
    }

    private static func policy(_ config: Configuration) throws(PluginError) -> TokenPolicy {
        var policy = TokenPolicy()
        policy.issuers = try chosen(config, "issuer")
        policy.audiences = try chosen(config, "audience")
        policy.type = config["type"].isNull ? nil : try config["type"].text()
        policy.leeway = Double(try config.integer("leeway_seconds", default: 30, in: 0...3_600))
        if !config["max_age_seconds"].isNull {
            policy.maxAge = Double(try config["max_age_seconds"].integer(in: 1...31_536_000))
        }
        policy.requiresExpiry = try config.boolean("require_expiry", default: true)
        policy.required = try texts(config["require"])
        policy.scopes = try texts(config["scopes"])
        for (index, scope) in policy.scopes.enumerated() where scope.contains(where: { " \"\\".contains($0) }) {
            throw try config["scopes"].elements()[index].error("a scope has no blank, quotation mark or backslash")
        }
        return policy
    }

    /// One text or a list of them, or `any`. There is no default: a token that was made for somebody else must not pass
    /// because a line was forgotten (RFC 8725 §3.8, §3.9).
    private static func chosen(_ config: Configuration, _ key: String) throws(PluginError) -> [String]? {
        let node = config[key]
        if node.isNull { throw config.error("'\(key)' is missing; where each will do, say `\(key): any`") }
        if node.kind == .scalar {
            let text = try node.text()
            if text.isEmpty { throw node.error("an \(key) is not empty") }
            return text == "any" ? nil : [text]
        }
        let texts = try texts(node)
        if texts.isEmpty { throw node.error("the list is empty: nobody could pass") }
        return texts
    }

    private static func texts(_ node: Configuration) throws(PluginError) -> [String] {
        var texts: [String] = []
        for entry in try node.elements() {
            let text = try entry.text()
            if text.isEmpty { throw entry.error("the text is empty") }
            texts.append(text)
        }
        return texts
    }

    private static func mapping(_ config: Configuration) throws(PluginError) -> ClaimMapping {
        var mapping = ClaimMapping()
        if !config["tenant"].isNull {
            let claim = try config["tenant"].text()
            if claim.isEmpty { throw config["tenant"].error("a claim's name is not empty") }
            mapping.tenant = claim
        }
        for (name, entry) in try config["headers"].members() {
            let field = KeptText(name)
            guard field.withBytes({ $0.isToken && !$0.isFieldOfConnection }) else {
                throw entry.error("`\(name)` is no header's name, or one that only the gateway itself writes")
            }
            // A request has exactly one (RFC 9112 §3.2): where the token has no such claim it could not be taken out.
            if field.withBytes({ $0.equalsIgnoringCase("host") }) {
                throw entry.error("a request always has a `host`, and not every token a claim: name another header")
            }
            if mapping.fields.contains(where: { $0.field.equalsIgnoringCase(field) }) {
                throw entry.error("the header `\(name)` is there already")
            }
            if mapping.fields.count == fieldsAtMost { throw entry.error("more than \(fieldsAtMost) headers") }
            mapping.fields.append((field, try entry.text()))
        }
        return mapping
    }
}

/// The values of `WWW-Authenticate`, one for each refusal (RFC 6750 §3), made at the start.
struct Challenges {
    private let texts: [KeptText]

    init(_ config: Configuration, scopes: [String]) throws(PluginError) {
        let realm = try config.text("realm", default: "")
        if realm.utf8.contains(where: { $0 < 0x20 || $0 == 0x22 || $0 == 0x5C || $0 >= 0x7F }) {
            throw config["realm"].error("a realm has no quotation mark, no backslash and no control character")
        }
        texts = Refusal.allCases.map { refusal in
            var parts = realm.isEmpty ? [] : ["realm=\"\(realm)\""]
            if let code = refusal.code {
                parts.append("error=\"\(code)\"")
                parts.append("error_description=\"\(refusal.text)\"")
            }
            if refusal == .scope { parts.append("scope=\"\(scopes.joined(separator: " "))\"") }
            return KeptText(parts.isEmpty ? "Bearer" : "Bearer " + parts.joined(separator: ", "))
        }
    }

    subscript(refusal: Refusal) -> KeptText { texts[refusal.rawValue] }
}
