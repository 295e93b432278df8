import SluiceABI

/// Calls that answer PENDING, and what stays of an exchange that ends before whoever suspended it has resumed.
///
/// A filter is told by `on_cancel` that an exchange is over. Routers and backends are not, and a filter need not have
/// that function: what they were given, the tensors of a request first of all, may be read by a thread of theirs until
/// they resume. Such an exchange ends for everybody else when it ends: its client is answered or left, it is counted
/// and observed, its connections, permits and places are given back. Its memory alone is **held** until the plugin
/// resumes, or until the instances of its generation are destroyed, which ends their threads. It holds up neither a
/// reload nor a stop.
extension Worker {
    /// Whether a router or backend may be given an exchange. Asked for each call: whether it will suspend is not known.
    @inline(__always)
    func mayBorrow(_ plugin: Int32) -> Bool {
        held == 0 || metrics.held(plugin: PluginMetricsID(index: plugin)) < heldAtMost
    }

    /// The same of a filter: one that is told when an exchange is over has none of them held.
    @inline(__always)
    func mayBorrow(_ filter: UnsafeMutablePointer<FilterLink>) -> Bool {
        held == 0 || filter.pointee.table.pointee.on_cancel != nil || mayBorrow(filter.pointee.plugin)
    }

    @inline(never)
    func failHeld(_ exchange: ExchangePointer) -> ExchangeMachine.Action {
        metrics.rejected(.memory)
        return fail(
            exchange, SLUICE_RESOURCE_EXHAUSTED, 503,
            sluice_bytes("a plugin has not resumed too many requests that are over"), retryAfter: 1)
    }

    // MARK: Suspension

    /// A call answered PENDING.
    /// - Parameters:
    ///   - instance: whose call it was, by its context.
    ///   - borrower: its plugin, where it is not told when the exchange ends; negative: it is.
    func suspend(
        _ exchange: ExchangePointer, _ instance: UnsafeMutableRawPointer?, borrower: Int32,
        _ event: ExchangeMachine.Event
    ) -> ExchangeMachine.Action {
        exchange.pointee.suspendedBy = instance
        exchange.pointee.borrower = borrower
        return exchange.pointee.machine.handle(event)
    }

    func suspend(
        _ exchange: ExchangePointer, _ filter: UnsafeMutablePointer<FilterLink>, _ event: ExchangeMachine.Event
    ) -> ExchangeMachine.Action {
        let isTold = filter.pointee.table.pointee.on_cancel != nil
        return suspend(exchange, filter.pointee.context, borrower: isTold ? -1 : filter.pointee.plugin, event)
    }

    /// A suspension has ended: the instance that asked for it is called again. What another one resumes, which has had
    /// its own suspension before and resumes it a second time, is not meant.
    func resume(token: UInt64, by instance: UnsafeMutableRawPointer?) {
        guard let exchange = exchange(of: token), let instance, exchange.pointee.suspendedBy == instance else { return }
        exchange.pointee.suspendedBy = nil
        if exchange.pointee.heldIn != 0 { return letGo(exchange) }
        exchange.pointee.borrower = -1
        // Resumed before the call that suspends has returned cannot be: the mailbox is read between events. But an
        // error may be on its way to the client in place of the call.
        guard exchange.pointee.machine.phase == .suspended else { return }
        exchange.pointee.isResumed = true
        perform(exchange, exchange.pointee.machine.handle(.resumed))
    }

    // MARK: What is held

    /// The exchange has ended, and its borrower may look at it still. False when bytes of the client's next request are
    /// lost by that.
    func hold(_ exchange: ExchangePointer) -> Bool {
        let isIntact = takeInput(exchange)
        exchange.pointee.heldIn = exchange.pointee.generation.unsafelyUnwrapped.pointee.number
        exchange.pointee.client = nil
        exchange.pointee.pool = nil
        exchange.pointee.endpoint = nil
        held &+= 1
        metrics.exchangeHeld(plugin: PluginMetricsID(index: exchange.pointee.borrower))
        return isIntact
    }

    /// Head and body of a request may lie where its connection has received them. The connection goes on with what
    /// stands behind, in a buffer of its own.
    private func takeInput(_ exchange: ExchangePointer) -> Bool {
        // A call's messages are gathered, never read where they were received.
        guard let client = exchange.pointee.client, !client.pointee.input.isAbsent, !exchange.pointee.isGRPC else {
            return true
        }
        let received = client.pointee.input
        // It has the place of a head that is taken off its connection, or of a body that was gathered.
        let isKept = exchange.pointee.ownedBuffers.adopt(received)
        assert(isKept, "an exchange has room for its connection's input")
        client.pointee.input = .none
        client.pointee.floor = 0
        // A stream carries one request.
        guard received.count > 0, !client.pointee.isStream else { return true }
        var rest = buffers.take(max(received.count, BufferPool.small))
        guard !rest.isAbsent else { return false }
        rest.append(received.head, received.count)
        client.pointee.input = rest
        return true
    }

    private func letGo(_ exchange: ExchangePointer) {
        metrics.exchangeLetGo(plugin: PluginMetricsID(index: exchange.pointee.borrower))
        held &-= 1
        releaseMemory(exchange)
    }

    /// The instances of a generation are destroyed, and with them whoever could have resumed.
    func letGo(generation number: UInt64) {
        guard held > 0 else { return }
        for exchange in exchanges.elements where exchange.pointee.heldIn == number { letGo(exchange) }
    }

    /// Those that have not ended, for rare walks over all of them; a copy.
    var exchangesUnderWay: [ExchangePointer] { exchanges.elements.filter { $0.pointee.heldIn == 0 } }
}
