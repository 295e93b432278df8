/// Which tenant has which place. Bounded: a tenant keeps a place while it has requests queued and until another needs
/// it.
struct TenantTable {
    struct Place {
        var tenant: UInt64 = 0
        var weight: UInt32 = 1
        /// Requests queued.
        var count: UInt32 = 0
        var isKnown = false
    }

    /// Places looked at for one tenant. With half of the table in use the chance that eight are all taken is 1 in 256.
    private static let probes = 8

    let places: UnsafeMutablePointer<Place>
    let count: Int

    init(count: Int) {
        var power = 1
        while power < count { power *= 2 }
        self.count = power
        places = .allocate(capacity: power)
        places.initialize(repeating: Place(), count: power)
    }

    func deallocate() { places.deallocate() }

    /// The tenant's place. What is left of its former tenant there is a start that is late by one request at most.
    /// Where all are taken it shares one, with all that follows for its share: stochastic fairness (P. McKenney:
    /// Stochastic Fairness Queueing, INFOCOM 1990).
    func place(of tenant: UInt64, weight: UInt32) -> Int {
        // Fibonacci hashing (D. Knuth: The Art of Computer Programming 3, §6.4), for callers whose hashes are only
        // numbers: the product's highest bits are those that all bits of the number have a part in.
        let hash = Int(truncatingIfNeeded: (tenant &* 0x9E37_79B9_7F4A_7C15) >> (64 &- count.trailingZeroBitCount))
        var free = -1
        for step in 0..<min(Self.probes, count) {
            let index = (hash &+ step) & (count &- 1)
            if places[index].isKnown && places[index].tenant == tenant {
                places[index].weight = weight
                return index
            }
            if free < 0 && places[index].count == 0 { free = index }
        }
        guard free >= 0 else { return hash & (count &- 1) }
        places[free] = Place(tenant: tenant, weight: weight, count: 0, isKnown: true)
        return free
    }
}
