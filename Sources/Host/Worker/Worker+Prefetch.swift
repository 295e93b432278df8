/// What will be looked at soon is asked for while something else takes its time: the kernel copies bytes, or a block of
/// fields is decoded. Between two events of one exchange many others pass, and the kernel's own memory with them, so
/// that what it is made of has left the near caches. To wait for it line by line costs more than most of the work.
extension Worker {
    /// The connection of an event that comes after the present one.
    @inline(__always)
    func prefetch(_ token: UInt64) {
        let index = UInt32(truncatingIfNeeded: token)
        switch token >> 60 {
        case 2: clients.prefetch(index: index)
        case 3: upstreams.prefetch(index: index)
        default: break
        }
    }

    /// Before bytes are read that an exchange may begin with.
    @inline(__always)
    func prefetchNextExchange() {
        exchanges.prefetchNext()
        buffers.prefetchNext()
    }

    /// Before bytes are read that may be the exchange's answer.
    @inline(__always)
    func prefetch(_ exchange: ExchangePointer) {
        exchanges.prefetch(exchange)
        exchange.pointee.arena.prefetch()
        if let client = exchange.pointee.client { clients.prefetch(client) }
        buffers.prefetchNext()
    }
}
