import SluiceBalancing
import SluiceHashing
import SluicePlugin

/// Consistent hashing by Maglev's table: shares more even than a ring's, and one read a pick; a few keys more move when
/// the pool changes.
///
/// An endpoint that may not be taken is passed over in the table: the entries after one of its own are anybody's, so
/// its keys spread over the others, and keys of others stay.
struct Maglev: Balancer, ~Copyable {
    static let plugin = PluginDescription(name: "maglev", version: "0.1.0", vendor: "Sluice", licence: "Apache-2.0")

    /// The smallest prime above the largest pool: every endpoint has an entry.
    private static var sizeAtLeast: Int64 { 4_099 }

    private let tableSize: Int
    private var key: HashKey
    private var pool: HashedPool<MaglevTable>

    init(_ context: Context) throws(PluginError) {
        let config = context.config
        try config.allow(["hash_on", "table_size"])
        let key = try HashKey(config["hash_on"], seed: context.seed)
        let size = Int(
            try config.integer(
                "table_size", default: Int64(MaglevTable.defaultSize),
                in: Self.sizeAtLeast...Int64(MaglevTable.sizeAtMost)))
        if !MaglevTable.isPrime(size) {
            var next = size
            while !MaglevTable.isPrime(next) { next += 1 }
            throw config["table_size"].error("\(size) is no prime, which a Maglev table needs; take \(next)")
        }
        self.key = key
        tableSize = size
        pool = HashedPool(MaglevTable(names: [], weights: []))
    }

    mutating func endpointsChanged(_ endpoints: List<Endpoint>) {
        let size = tableSize
        pool.replace(endpoints) { MaglevTable(names: $0, weights: $1, size: size) }
    }

    mutating func pick(_ candidates: Candidates, for request: Request, exchange: Exchange) -> Int {
        if pool.count != candidates.count { endpointsChanged(candidates.endpoints) }
        return pool.owner(of: key.hash(request, exchange), among: candidates)
    }
}

@c(sluice_plugin_entry) public func entry(host: UInt32) -> PluginEntry { export(host, Maglev.self) }
