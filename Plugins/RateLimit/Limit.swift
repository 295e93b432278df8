import OpenAICodec
import RateLimitBuckets
import SluiceHashing
import SluicePlugin

/// One limit: whom it counts together, what it counts and how much of that may be.
///
///     name: tokens
///     by: [ tenant, model ]
///     tokens: 100000
///     per: minute
struct Limit {
    enum Unit {
        case requests
        case tokens(Tokens)
    }

    /// Which tokens of an answer's usage.
    enum Tokens: String {
        case total, prompt, completion

        func count(_ usage: TokenUsage) -> UInt64 {
            switch self {
            case .total: usage.total
            case .prompt: usage.prompt
            case .completion: usage.completion
            }
        }
    }

    let name: KeptText
    let unit: Unit
    let rate: Rate
    /// With the other gateways of a fleet.
    let isShared: Bool
    /// Counts and tells, and refuses nobody.
    let isShadow: Bool
    /// Nanoseconds that a request takes beforehand, and that must be there for it.
    let cost: UInt64
    let need: UInt64
    /// Tokens that are taken beforehand.
    let reserve: UInt64
    /// For the field RateLimit-Policy: `"name";q=100;w=60`.
    let policy: KeptText
    let allowed: Counter
    let limited: Counter
    let tokens: Counter?
    private let parts: [KeyPart]
    private let rule: Rule?
    /// The keyed hash after all by which this limit differs from others, so that it has buckets of its own, also from
    /// what it was before a reload when that was something else, and from limits of another entry of `plugins:`, whose
    /// default names are the same and which meet in the fleet's store.
    private let hash: KeyedHash

    var isOfTokens: Bool {
        if case .tokens = unit { true } else { false }
    }

    init(
        _ node: Configuration, of entry: String, number: Int, _ state: SharedState, inFleet: Bool, isShadow all: Bool,
        _ metrics: MetricDeclarations
    ) throws(PluginError) {
        try node.allow([
            "name", "by", "when", "requests", "tokens", "count", "per", "burst", "reserve", "dry_run",
            "shared",
        ])
        let name = try node.text("name", default: "limit-\(number + 1)")
        guard !name.isEmpty, name.utf8.count <= 64,
            name.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != 0x22 && $0 != 0x5C })
        else {
            throw node["name"].error("a limit's name has 1 to 64 printable characters of ASCII, no blank, \" or \\")
        }
        self.name = KeptText(name)
        parts = try KeyPart.list(node["by"])
        rule = node["when"].isNull ? nil : try node["when"].rule()
        if let rule, rule.needsBody {
            throw node["when"].error("this rule reads the body, which a limit does not wait for; use the head alone")
        }
        if !inFleet, !node["shared"].isNull {
            throw node["shared"].error("limits are shared by 'redis', which is missing")
        }
        isShared = try node.boolean("shared", default: true) && inFleet
        isShadow = try node.boolean("dry_run", default: false) || all

        let (requests, tokens) = (node["requests"], node["tokens"])
        guard requests.isNull != tokens.isNull else {
            throw node.error("a limit has either 'requests' or 'tokens': how many there may be in 'per'")
        }
        let amountNode = requests.isNull ? tokens : requests
        let amount = try amountNode.integer(in: 1...1_000_000_000_000)
        if node["per"].isNull {
            throw node.error("'per' is missing: second, minute, hour, day or a number of seconds")
        }
        let seconds = try Self.seconds(node["per"])
        let burst = try node.integer("burst", default: amount, in: 1...1_000_000_000_000)
        guard let rate = Rate(amount: UInt64(amount), period: seconds * 1_000_000_000, burst: UInt64(burst)) else {
            throw (node["burst"].isNull ? amountNode : node["burst"]).error(
                "at most 10^9 a second can be told apart, and a burst must come back within 52 days")
        }
        self.rate = rate
        if requests.isNull {
            let count = try node.text("count", default: "total")
            guard let kind = Tokens(rawValue: count) else {
                throw node["count"].error("'\(count)' are no tokens: expected total, prompt or completion")
            }
            unit = .tokens(kind)
            reserve = UInt64(try node.integer("reserve", default: 0, in: 0...burst))
            cost = reserve == 0 ? 0 : rate.cost(reserve)
            need = rate.cost(max(reserve, 1))
        } else {
            for key in ["count", "reserve"] where !node[key].isNull {
                throw node[key].error("'\(key)' is for limits of tokens")
            }
            unit = .requests
            reserve = 0
            cost = rate.cost(1)
            need = cost
        }

        policy = KeptText("\"\(name)\";q=\(amount);w=\(seconds)")
        let labels = [("limit", name)]
        allowed = try metrics.counter("allowed_total", "Requests that a limit let pass.", labels: labels)
        limited =
            isShadow
            ? try metrics.counter(
                "would_limit_total", "Requests that a limit on trial would have refused.", labels: labels)
            : try metrics.counter("limited_total", "Requests that a limit refused.", labels: labels)
        self.tokens =
            requests.isNull
            ? try metrics.counter("tokens_total", "Tokens that a limit was charged for.", labels: labels) : nil

        let identity =
            (parts.map(\.description) + [
                requests.isNull ? "tokens" : "requests", try node.text("count", default: ""), "\(amount)", "\(seconds)",
                "\(burst)", name, entry,
            ]).joined(separator: "\u{0}")
        let key = state.key(isShared: isShared)
        var digest = KeyedHash(key: key)
        Array(identity.utf8).withUnsafeBytes { digest.feed($0) }
        var hash = KeyedHash(key: key)
        hash.feed(digest.finish())
        self.hash = hash
    }

    private static func seconds(_ node: Configuration) throws(PluginError) -> UInt64 {
        switch try node.text() {
        case "second": return 1
        case "minute": return 60
        case "hour": return 3_600
        case "day": return 86_400
        case let other:
            guard let seconds = UInt64(other), (1...2_678_400).contains(seconds) else {
                throw node.error("'\(other)' is no time: expected second, minute, hour, day or 1 to 2678400 seconds")
            }
            return seconds
        }
    }

    // MARK: On the way of a request

    /// Whether the limit is about this request.
    func applies(to request: Request, _ exchange: Exchange) throws(PluginError) -> Bool {
        switch request.operation {
        // Answered by the gateway: a probe of its health must not fail for what clients do.
        case .serverLive, .serverReady, .serverMetadata, .modelList: return false
        case .chat, .completion, .embed: break
        // Only answers of those three say what they took.
        default: if isOfTokens { return false }
        }
        guard let rule else { return true }
        if case .holds = try rule.verdict(on: request, exchange) { return true }
        return false
    }

    /// The bucket's key.
    func key(of request: Request, _ exchange: Exchange) -> UInt64 {
        var hash = hash
        for index in parts.indices {
            let value = parts[index].value(of: request, exchange)
            // Its length, so that "ab" and "c" differ from "a" and "bc".
            hash.feed(UInt64(value.count))
            hash.feed(value)
        }
        return Reconciliation.key(hash.finish(), isFleets: isShared)
    }
}
