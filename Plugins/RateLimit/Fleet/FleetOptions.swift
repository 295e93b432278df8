import SluiceDigest
import SluiceHashing
import SluicePlugin

/// How a fleet of gateways shares its limits: `redis:` of the configuration, checked.
///
///     redis:
///       address: redis.internal:6379
///       password: "${REDIS_PASSWORD}"
struct FleetOptions: Equatable, Sendable {
    let place: SocketPlace
    /// For the log.
    let address: String
    let username: String
    let password: String
    let database: Int64
    let prefix: String
    /// Nanoseconds.
    let interval: UInt64
    /// Milliseconds that an answer may take.
    let timeout: Int

    init(_ node: Configuration) throws(PluginError) {
        try node.allow([
            "address", "username", "password", "database", "prefix", "sync_interval_ms", "timeout_ms",
        ])
        address = try node.required("address")
        guard let place = SocketPlace(address) else {
            throw node["address"].error("expected HOST:PORT, [IPv6]:PORT or unix:/PATH")
        }
        self.place = place
        username = try node.text("username", default: "")
        password = try node.text("password", default: "")
        if !node["password"].isNull, password.isEmpty {
            throw node["password"].error("the password is empty; is its environment variable set?")
        }
        if !username.isEmpty, password.isEmpty { throw node["username"].error("a username has a 'password'") }
        database = try node.integer("database", default: 0, in: 0...1_000_000)
        prefix = try node.text("prefix", default: "sluice-rate-limit")
        guard !prefix.isEmpty, prefix.utf8.count <= 64,
            prefix.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != 0x7B && $0 != 0x7D })
        else { throw node["prefix"].error("a prefix has 1 to 64 printable characters of ASCII, no blank and no brace") }
        // Ten rounds a second cost a gateway and Redis next to nothing, and a tenth of a second is little beside the
        // minute that most limits are about.
        interval = UInt64(try node.integer("sync_interval_ms", default: 100, in: 10...60_000)) * 1_000_000
        timeout = Int(try node.integer("timeout_ms", default: 500, in: 10...10_000))
    }

    /// Of the hash of keys: all gateways that share a store must have the same, and clients must not know it.
    /// - Throws: nothing but that libcrypto has no SHA-256.
    func key(_ context: Context) throws(PluginError) -> (UInt64, UInt64) {
        let text = Array("sluice rate limit 1\u{0}\(prefix)\u{0}\(username)\u{0}\(password)".utf8)
        var hash = try context.sha256()
        let digest = try context.digest(of: text, &hash)
        return (digest.first.bigEndian, digest.second.bigEndian)
    }
}
