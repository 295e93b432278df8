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

    /// The answer was gathered for a filter that has asked for that. Those behind it have been shown the head of one
    /// that streams: they see the body as one chunk. An action when one of them objects.
    func showGathered(_ exchange: ExchangePointer) -> ExchangeMachine.Action? {
        guard exchange.pointee.answerLink != Exchange.allLinks, wantsChunks(exchange),
            let message = exchange.pointee.responseMessage, message.pointee.body_count > 0,
            let body = message.pointee.body?.pointee
        else { return nil }
        // So many have yet to see the answer, the one that has asked among them.
        let left = Int(exchange.pointee.answerLink)
        let own = exchange.pointee.generation.unsafelyUnwrapped.pointee.filters
        if let action = show(body, to: own, from: min(left, own.count), exchange, SLUICE_SIDE_RESPONSE) {
            return action
        }
        return show(body, to: modelFilters(exchange), from: max(left - own.count, 0), exchange, SLUICE_SIDE_RESPONSE)
    }
}
