import SluiceABI

/// The end of a generation whose exchanges have not ended by themselves.
extension Worker {
    /// An old generation has had its time: what still runs on it ends now.
    func expire(generation number: UInt64) {
        // Copies that were asked for in this turn begin first: who waits to begin is still in a list.
        if firstShadow != nil { startShadows() }
        for exchange in exchangesUnderWay where exchange.pointee.generation?.pointee.number == number {
            answersErrors(exchange)
            if exchange.pointee.isTunnel {
                exchange.pointee.status = SLUICE_UNAVAILABLE
                perform(exchange, .endTunnel)
            } else if exchange.pointee.client == nil {
                perform(exchange, fail(exchange, SLUICE_UNAVAILABLE, 503, "the gateway is being reconfigured"))
            } else if exchange.pointee.machine.responseBegan {
                perform(exchange, .cut)
            } else {
                perform(exchange, fail(exchange, SLUICE_UNAVAILABLE, 503, "the gateway is being reconfigured"))
            }
        }
    }
}
