import SluiceHashing
import SluicePlugin

/// The digests of the known keys with whose they are: an open hash table, at most half full.
///
/// How long a search takes tells nobody how much of a key is right: what is compared are digests, in one step each, and
/// where the search begins depends on a secret of this process.
struct KeyRing {
    /// 2 MiB a worker.
    static let limit = 65_536

    private struct Entry {
        let digest: Digest256
        let tenant: KeptText
    }

    private var entries: [Entry] = []
    /// Index into `entries`, -1 for none.
    private var places = [Int32](repeating: -1, count: 16)
    private let secret: (UInt64, UInt64)

    init() {
        var random = SystemRandomNumberGenerator()
        secret = (random.next(), random.next())
    }

    var count: Int { entries.count }

    private func start(_ digest: Digest256) -> Int {
        var hash = KeyedHash(key: secret)
        hash.feed(digest.first)
        hash.feed(digest.second)
        return Int(truncatingIfNeeded: hash.finish() & UInt64(places.count - 1))
    }

    /// False when the key is there already, or the ring is full.
    mutating func add(_ digest: Digest256, tenant: KeptText) -> Bool {
        if count == Self.limit || owner(of: digest) != nil { return false }
        entries.append(Entry(digest: digest, tenant: tenant))
        if entries.count * 2 > places.count {
            places = [Int32](repeating: -1, count: places.count * 2)
            for index in entries.indices { put(index) }
        } else {
            put(entries.count - 1)
        }
        return true
    }

    private mutating func put(_ index: Int) {
        var place = start(entries[index].digest)
        while places[place] >= 0 { place = (place &+ 1) & (places.count &- 1) }
        places[place] = Int32(index)
    }

    /// Index of the key with that digest.
    func owner(of digest: Digest256) -> Int? {
        var place = start(digest)
        while places[place] >= 0 {
            let index = Int(places[place])
            if entries[index].digest == digest { return index }
            place = (place &+ 1) & (places.count &- 1)
        }
        return nil
    }

    func tenant(_ index: Int) -> KeptText { entries[index].tenant }
}
