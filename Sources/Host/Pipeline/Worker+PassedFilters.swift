import SluiceABI

/// The filters on an exchange's way: the gateway's own, and those of the model that the request was routed to.
extension Worker {
    /// Those of the model, which stay the same for the exchange's whole life.
    @inline(__always)
    func modelFilters(_ exchange: ExchangePointer) -> FilterChain {
        exchange.pointee.model?.pointee.filters ?? .empty
    }

    /// What any of both chains needs, SLUICE_FILTER_*.
    @inline(__always)
    func filterNeeds(_ exchange: ExchangePointer) -> UInt32 {
        exchange.pointee.generation.unsafelyUnwrapped.pointee.filters.needs | modelFilters(exchange).needs
    }
}
