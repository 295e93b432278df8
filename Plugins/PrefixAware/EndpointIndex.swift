import SluicePlugin

/// From an endpoint's tag to its place in the pool: a hash table that is made anew when the pool changes.
struct EndpointIndex {
    /// The tag in the high half, the place in the low one; 0: free, since no tag is 0.
    private var slots: [UInt32] = [0]

    init() {}

    init(_ endpoints: List<Endpoint>) {
        var size = 2
        while size < endpoints.count * 2 { size *= 2 }
        slots = [UInt32](repeating: 0, count: size)
        for place in endpoints.indices {
            let tag = PrefixTable.tag(endpoints[place].id)
            var slot = Int(tag) & (size - 1)
            while slots[slot] != 0 { slot = (slot + 1) & (size - 1) }
            slots[slot] = UInt32(tag) << 16 | UInt32(place)
        }
    }

    /// -1 when there is none, also when `endpoints` are not those that the table was made of.
    @inline(__always)
    func find(_ tag: UInt16, in endpoints: List<Endpoint>) -> Int {
        let mask = slots.count &- 1
        var slot = Int(tag) & mask
        // At most half of the slots are taken: a free one ends every search.
        while slots[slot] != 0 {
            if UInt16(truncatingIfNeeded: slots[slot] >> 16) == tag {
                let place = Int(slots[slot] & 0xFFFF)
                return place < endpoints.count && PrefixTable.tag(endpoints[place].id) == tag ? place : -1
            }
            slot = (slot &+ 1) & mask
        }
        return -1
    }
}
