extension Worker {
    /// What an epoll event is about: kind in the upper bits, then 28 bits of the slot's generation, then its index.
    enum Token {
        static let mailbox: UInt64 = 0
        static let listener: UInt64 = 1 << 60
        static let client: UInt64 = 2 << 60
        static let upstream: UInt64 = 3 << 60

        static func make(_ kind: UInt64, _ slot: SlabSlot) -> UInt64 {
            kind | UInt64(slot.generation & SlabSlot.generationMask) << 32 | UInt64(slot.index)
        }
    }
}
