import AnswerStore
import SluicePlugin

/// What the configuration says.
struct Options {
    let ttlNs: UInt64
    let staleSeconds: UInt64
    let entries: Int
    let bytes: Int
    let answerBytes: Int
    let requestBytes: Int
    let key: RequestKey
    /// Bit i: operations of that number are cached.
    let operations: UInt64

    private static let keyNames = [
        "ttl_seconds", "stale_seconds", "max_bytes", "max_entries", "max_answer_bytes", "max_request_bytes", "match",
        "vary", "share_tenants", "operations",
    ]
    private static let operationNames: [(String, Operation)] = [
        ("infer", .infer), ("embed", .embed), ("chat", .chat), ("completion", .completion), ("other", .other),
    ]
    /// Values of these make another answer, or show that it is somebody's own. Where the gateway's filters know the
    /// tenant and endpoints never look at credentials, an operator leaves `authorization` and `cookie` out.
    private static let varyByDefault = [
        "accept", "accept-encoding", "accept-language", "authorization", "cookie", "proxy-authorization", "x-api-key",
        "api-key",
    ]

    init(_ config: Configuration, workers: Int) throws(PluginError) {
        try config.allow(Self.keyNames)
        ttlNs = UInt64(try config.integer("ttl_seconds", default: 60, in: 1...604_800)) * 1_000_000_000
        // Long enough for most outages. An old answer takes room only until another wants it.
        staleSeconds = UInt64(try config.integer("stale_seconds", default: 3_600, in: 0...604_800))
        let workers = max(workers, 1)
        // Of a gateway of two workers 4,096 answers each, of 8 KiB on average.
        entries = max(1, Int(try config.integer("max_entries", default: 8_192, in: 1...4_194_304)) / workers)
        bytes = max(1, Int(try config.integer("max_bytes", default: 67_108_864, in: 65_536...68_719_476_736)) / workers)
        // An answer is copied when it is kept, and once more when it is used: 256 KiB take some 20 µs of a worker's
        // time. The digest of a request of that size takes 0.2 ms, and more than that on a processor without
        // instructions for it.
        answerBytes = Int(try config.integer("max_answer_bytes", default: 262_144, in: 64...16_777_216))
        requestBytes = Int(try config.integer("max_request_bytes", default: 262_144, in: 64...16_777_216))
        if answerBytes > bytes {
            throw config["max_answer_bytes"].error(
                "an answer of \(answerBytes) bytes does not fit into a worker's share of 'max_bytes', \(bytes)")
        }
        let match: RequestKey.Match
        switch try config.text("match", default: "message") {
        case "message": match = .message
        case "unified": match = .unified
        case let other: throw config["match"].error("'\(other)' is no way to compare: expected message or unified")
        }
        var vary: [KeptText] = []
        if config["vary"].isNull {
            vary = Self.varyByDefault.map { KeptText($0) }
        } else {
            for entry in try config["vary"].elements() {
                let name = KeptText(try entry.text())
                guard name.withBytes({ $0.isToken }) else {
                    throw entry.error("`\(String(name))` is no header's name")
                }
                // Each is looked for in all fields of a request.
                if vary.count == 16 { throw entry.error("more than 16 headers") }
                vary.append(name)
            }
        }
        key = RequestKey(match: match, sharesTenants: try config.boolean("share_tenants", default: false), vary: vary)
        var operations: UInt64 = 0
        if config["operations"].isNull {
            for operation in [Operation.infer, .embed, .chat, .completion] { operations |= 1 << operation.rawValue }
        }
        for entry in try config["operations"].elements() {
            let name = try entry.text()
            guard let found = Self.operationNames.first(where: { $0.0 == name }) else {
                let known = Self.operationNames.map(\.0).joined(separator: ", ")
                throw entry.error("'\(name)' is no operation that is cached; known are \(known)")
            }
            operations |= 1 << found.1.rawValue
        }
        if operations == 0 { throw config["operations"].error("the list is empty: nothing would be cached") }
        self.operations = operations
    }

    func caches(_ operation: Operation) -> Bool { operations >> UInt64(operation.rawValue) & 1 == 1 }
}
