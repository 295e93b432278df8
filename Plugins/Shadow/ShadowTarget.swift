import SluiceHashing
import SluicePlugin
import SluiceRouting

/// One entry of `shadows`: whose requests are copied, how many, and where to.
struct ShadowTarget {
    let name: String
    /// Id of the model whose requests are copied.
    let model: UInt32
    /// Index of its version; nil: any of them.
    let version: Int?
    /// Id of the pool that gets the copies.
    let pool: UInt32
    /// The value of the header that marks a copy.
    let mark: KeptText
    /// Nanoseconds.
    let timeout: UInt64
    let comparesBodies: Bool
    /// Hashes up to that are copied.
    private let upTo: UInt64
    /// Empty: by the request alone.
    private let keys: [KeySource]
    private let hash: KeyHash
    /// Makes draws of their own of the numbers that all shadows draw by.
    private let salt: UInt64
    /// Bodies of a known size up to that are waited for; 0: none.
    private let gatheredAtMost: UInt64

    init(_ config: Configuration, _ context: Context) throws(PluginError) {
        try config.allow([
            "name", "model", "version", "to", "percent", "key", "timeout_ms", "compare_bodies", "wait_for_body_bytes",
        ])
        if config["name"].isNull { throw config.error("'name' is missing") }
        let name = try config["name"].token("a shadow's name")
        if config["model"].isNull { throw config.error("'model' is missing: whose requests are copied?") }
        let model = try Self.model(config["model"], context)
        self.name = name
        self.model = model
        version = config["version"].isNull ? nil : try Self.version(config["version"], of: model, context)
        pool = try Self.pool(config["to"], beside: model, version, context)
        mark = KeptText(name)
        let percent = try config.number("percent", default: 100, in: 0...100)
        upTo = percent >= 100 ? .max : UInt64(percent / 100 * 0x1p64)
        keys = config["key"].isNull ? [] : try KeySource.list(config["key"])
        let hash = KeyHash("shadow", name)
        self.hash = hash
        salt = hash.hash(Bytes())
        timeout = UInt64(try config.integer("timeout_ms", default: 10_000, in: 1...3_600_000)) * 1_000_000
        comparesBodies = try config.boolean("compare_bodies", default: true)
        gatheredAtMost = UInt64(try config.integer("wait_for_body_bytes", default: 0, in: 0...268_435_456))
    }

    private static func model(_ config: Configuration, _ context: Context) throws(PluginError) -> UInt32 {
        try context.host.models.id(of: config.text(), at: config)
    }

    private static func version(
        _ config: Configuration, of model: UInt32, _ context: Context
    ) throws(PluginError) -> Int {
        let asked = try config.text()
        let target = context.host.models.all[Int(model)]
        guard let found = KeptText(asked).withBytes({ target.version(askedFor: $0) }) else {
            throw config.error("model '\(String(target.name))' has no version or label '\(asked)'")
        }
        return found
    }

    private static func pool(
        _ config: Configuration, beside own: UInt32, _ ownVersion: Int?, _ context: Context
    ) throws(PluginError) -> UInt32 {
        if config.isNull { throw config.error("'to' is missing: where do copies go?") }
        try config.allow(["model", "version"])
        let model = config["model"].isNull ? own : try Self.model(config["model"], context)
        let versions = context.host.models.all[Int(model)].versions
        let index: Int
        if !config["version"].isNull {
            index = try version(config["version"], of: model, context)
        } else if versions.count == 1 {
            index = 0
        } else {
            throw config.error("the model has several versions; say which one gets the copies, by `version`")
        }
        if model == own, index == ownVersion || versions.count == 1 {
            throw config.error("copies would go where the requests go; name another version, or another `model`")
        }
        return versions[index].pool
    }

    /// Whether the request is among those that are copied: by its key, or else by chance. The same at each call.
    func takes(_ request: Request, _ exchange: Exchange) -> Bool {
        if upTo == .max { return true }
        if upTo == 0 { return false }
        if keys.isEmpty {
            // A token is never used again: hashed it is as good as a draw, and the same when the body was waited for.
            // By the token alone whom one shadow leaves would be left by all others of its share.
            var numbers = SplitMix64(seed: exchange.suspension.token ^ salt)
            return numbers.next() < upTo
        }
        guard let key = keys.key(of: request, exchange) else { return false }
        return hash.hash(key) < upTo
    }

    func shouldGather(_ request: Request) -> Bool {
        guard gatheredAtMost > 0, request.message.bodyState == .streaming, let size = request.message.bodySize else {
            return false
        }
        return size <= gatheredAtMost
    }
}
