import SluiceABI

/// The end of a generation whose exchanges have not ended by themselves, or need not.
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

    // MARK: Copies that are left

    /// An old generation has lost an exchange, or has just become old.
    func shrank(_ old: UnsafeMutablePointer<WorkerGeneration>) {
        if old.pointee.exchanges == 0 { return retire(old) }
        if old.pointee.exchanges == old.pointee.copies { hasLeftovers = true }
    }

    /// Old generations that are there for copies alone end now, between two events.
    func cancelLeftovers() {
        hasLeftovers = false
        cancelCopies { $0.pointee.retired && $0.pointee.exchanges == $0.pointee.copies }
    }

    /// A worker that stops waits for no copies when nothing else is left. Whether there were any, so that what they
    /// held is handed on.
    func cancelLastCopies() -> Bool {
        guard clients.inUse == 0, shadows > 0, exchanges.inUse == held &+ shadows else { return false }
        let before = shadows
        cancelCopies()
        return shadows < before
    }

    /// A request that has not ended may still be compared with its copy; a copy that is left alone is not worth a
    /// configuration in memory, nor a process that does not stop.
    func cancelCopies(where isLeft: (UnsafeMutablePointer<WorkerGeneration>) -> Bool = { _ in true }) {
        // As above: who waits to begin is still in a list.
        if firstShadow != nil { startShadows() }
        for exchange in exchangesUnderWay where exchange.pointee.shadow != nil {
            guard let tables = exchange.pointee.generation, isLeft(tables) else { continue }
            perform(exchange, fail(exchange, SLUICE_CANCELLED, 499, "nothing but copies is left"))
        }
    }
}
