/// Highest random weight (Thaler and Ravishankar, "Using Name-Based Mappings to Increase Hit Rates", IEEE/ACM
/// Transactions on Networking 6(1), 1998): of some owners the one whose own hash with the key's is greatest. One that
/// leaves moves its own keys only. A step for each owner that may be taken, which suits few of them.
public enum Rendezvous {
    /// - Parameters:
    ///   - identities: a hash of each owner's name.
    ///   - eligible: bit i is owner i; at least `count` bits, those past it 0.
    /// - Returns: the index of an owner whose bit is set, nil when there is none.
    @inlinable
    public static func owner(
        of hash: UInt64, among identities: UnsafePointer<UInt64>, count: Int, eligible: UnsafePointer<UInt64>
    ) -> Int? {
        var best: Int?
        var bestScore: UInt64 = 0
        var word = 0
        while word &<< 6 < count {
            var bits = eligible[word]
            while bits != 0 {
                let index = word &<< 6 &+ bits.trailingZeroBitCount
                let score = XXHash64.hash(hash ^ identities[index])
                if best == nil || score > bestScore {
                    best = index
                    bestScore = score
                }
                bits &= bits &- 1
            }
            word &+= 1
        }
        return best
    }
}
