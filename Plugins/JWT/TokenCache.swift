import SluiceHashing
import SluicePlugin

/// Tokens that were found good, by the SHA-256 of their whole text: of the text itself nothing is kept. A worker's own,
/// so that a hit takes no lock and allocates nothing; each worker verifies a token once.
struct TokenCache: ~Copyable {
    private var table: SieveTable
    private var tokens: [VerifiedToken?]
    private let capacity: Int

    /// - Parameter capacity: entries; 0 keeps none.
    init(capacity: Int) {
        self.capacity = capacity
        var generator = SystemRandomNumberGenerator()
        table = SieveTable(capacity: max(capacity, 1), seed: generator.next())
        tokens = Array(repeating: nil, count: max(capacity, 1))
    }

    var count: Int { table.count }

    /// - Parameter now: nanoseconds of the wall clock.
    mutating func find(_ digest: Digest256, now: UInt64) -> VerifiedToken? {
        guard let slot = table.find(digest), let token = tokens[slot] else { return nil }
        if now < token.end { return token }
        remove(slot)
        return nil
    }

    mutating func insert(_ token: VerifiedToken, _ digest: Digest256) {
        guard capacity > 0 else { return }
        // Another exchange with the same token may have been first.
        if let slot = table.find(digest) {
            tokens[slot] = token
            return
        }
        if table.count == capacity, let slot = table.evict() { tokens[slot] = nil }
        if let slot = table.insert(digest) { tokens[slot] = token }
    }

    /// The keys have changed: what one of them signed may be good no more.
    mutating func removeAll() {
        for slot in tokens.indices where table.isTaken(slot: slot) { remove(slot) }
    }

    private mutating func remove(_ slot: Int) {
        table.remove(slot: slot)
        tokens[slot] = nil
    }
}
