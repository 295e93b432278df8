import SluiceHashing
import SluicePlugin
import SluiceRouting

/// What a hashing balancer hashes: the session that a router or an adapter found; where there is none, the first of the
/// configured sources that the request has; where it has none, a number that spreads such requests evenly.
public struct HashKey {
    private let sources: [KeySource]
    private var numbers: SplitMix64

    /// - Parameter config: the value of `hash_on`: one source or a list, as `KeySource.list` reads them; null for none.
    public init(_ config: Configuration, seed: UInt64) throws(PluginError) {
        sources = config.isNull ? [] : try KeySource.list(config)
        numbers = SplitMix64(seed: seed)
    }

    /// On the worker; allocates nothing.
    public mutating func hash(_ request: Request, _ exchange: Exchange) -> UInt64 {
        let session = request.session
        if !session.isEmpty { return session.withUnsafeBytes { XXHash64.hash($0) } }
        guard let key = sources.key(of: request, exchange) else { return numbers.next() }
        return key.withUnsafeBytes { XXHash64.hash($0) }
    }
}

extension Context {
    /// A seed that differs from worker to worker and from start to start.
    public var seed: UInt64 { XXHash64.hash(host.clock.monotonic, seed: UInt64(worker ?? 0)) }
}
