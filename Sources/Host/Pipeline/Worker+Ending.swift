import CLinux
import Glibc
import HTTP1
import SluiceABI

/// How an exchange ends: told to metrics and observers, and all that it holds given back.
extension Worker {
    func finish(_ exchange: ExchangePointer, keepAlive: Bool) {
        let client = exchange.pointee.client
        let ended = exchange.pointee.machine.requestBodyEnded
        report(exchange)
        if let client, client.pointee.isStream {
            swap(&client.asStream.pointee.trailers, &exchange.pointee.toClient.trailers)
            dispose(exchange)
            release(client.asStream)
            return
        }
        let isIntact = dispose(exchange)
        if let client { release(client, keepAlive: keepAlive && isIntact, requestEnded: ended) }
    }

    /// The client left: whatever was under way for it stops.
    func abandon(_ exchange: ExchangePointer) {
        let client = exchange.pointee.client
        exchange.pointee.status = SLUICE_CANCELLED
        if exchange.pointee.rival != nil { settleHedge(exchange) }
        endAttempt(exchange)
        cancelFilters(exchange)
        // Before the report, which says how long it has waited.
        leaveQueue(exchange)
        leaveBatchQueue(exchange)
        report(exchange)
        dispose(exchange)
        if let client {
            client.pointee.exchange = nil
            if client.pointee.isStream { reset(client.asStream) } else { close(client) }
        }
    }

    /// The answer cannot be completed. A reset, not an orderly end: a client must not take a part for the whole, which
    /// it would for a body that ends with the connection (RFC 9112 §8).
    func cut(_ exchange: ExchangePointer) {
        let client = exchange.pointee.client
        if exchange.pointee.status == SLUICE_OK { exchange.pointee.status = SLUICE_UNAVAILABLE }
        endAttempt(exchange)
        cancelFilters(exchange)
        report(exchange)
        // A call says how it ended even when its answer has begun.
        if let client, exchange.pointee.isGRPC, !client.asStream.pointee.isClosed, exchange.pointee.toClient.begun,
            setTrailers(exchange, exchange.pointee.status, faultWithinCall(exchange))
        {
            swap(&client.asStream.pointee.trailers, &exchange.pointee.toClient.trailers)
            dispose(exchange)
            release(client.asStream)
            return
        }
        dispose(exchange)
        if let client {
            client.pointee.exchange = nil
            if client.pointee.isStream {
                reset(client.asStream)
                return
            }
            // Not even an end of TLS: that would be taken for the end of the answer.
            client.pointee.tls?.pointee.isBroken = true
            cut(client)
        }
    }

    /// Once for each exchange: what a filter remembers of it is gone after the first time.
    func cancelFilters(_ exchange: ExchangePointer) {
        if exchange.pointee.filtersCancelled { return }
        exchange.pointee.filtersCancelled = true
        let tables = exchange.pointee.generation.unsafelyUnwrapped
        cancel(exchange, tables.pointee.filters)
        cancel(exchange, modelFilters(exchange))
    }

    func cancel(_ exchange: ExchangePointer, _ chain: FilterChain) {
        for position in 0..<chain.count where !chain.links[position].isRepeated {
            let filter = chain.links + position
            filter.pointee.table.pointee.on_cancel?(filter.pointee.instance, exchange.handle)
        }
    }

    /// An error is answered, which no `on_response` shows.
    func tellFilters(_ exchange: ExchangePointer, _ error: sluice_status) {
        exchange.pointee.errorTold = true
        let tables = exchange.pointee.generation.unsafelyUnwrapped
        tell(exchange, tables.pointee.filters, error)
        tell(exchange, modelFilters(exchange), error)
    }

    private func tell(_ exchange: ExchangePointer, _ chain: FilterChain, _ error: sluice_status) {
        for position in 0..<chain.count where !chain.links[position].isRepeated {
            let filter = chain.links + position
            filter.pointee.onError?(filter.pointee.instance, exchange.handle, error)
        }
    }

    /// Tells metrics and observers.
    func report(_ exchange: ExchangePointer) {
        let tables = exchange.pointee.generation.unsafelyUnwrapped
        guard exchange.pointee.client != nil else {
            // The attempts for all members of a batch are its own.
            if exchange.pointee.batch != nil { countRetries(exchange) }
            return
        }
        let finished = exchange.pointee.timesCalls || tables.pointee.observerCount > 0 ? clinux_monotonic_ns() : now
        let firstByte = exchange.pointee.firstByteAt
        // How long two sides talk says nothing of how fast anybody answers: a tunnel is timed until it is there.
        let answered = exchange.pointee.isTunnel ? firstByte : finished
        let duration = answered &- exchange.pointee.receivedAt
        if duration >= tables.pointee.limits.slowNs { logSlow(exchange, duration) }
        let pool = exchange.pointee.pool
        countRetries(exchange)
        metrics.requestFinished(
            pool: pool.map { PoolMetricsID(index: $0.pointee.shared.pointee.metrics) } ?? .none,
            adapter: exchange.pointee.adapter.map { PluginMetricsID(index: $0.pointee.plugin) } ?? .other,
            status: Int(exchange.pointee.sentStatus), durationNs: duration,
            firstByteNs: firstByte == 0 ? 0 : firstByte &- exchange.pointee.awaitedSince,
            requestBytes: exchange.pointee.toEndpoint.bodyBytes, responseBytes: exchange.pointee.toClient.bodyBytes)
        if tables.pointee.observerCount > 0 { observe(exchange, tables, finished) }
    }

    /// The attempts after the first that its pool has made, which it is about to leave or ends in.
    @inline(__always)
    func countRetries(_ exchange: ExchangePointer) {
        // A hedge is no attempt after another one.
        let attempts = exchange.pointee.machine.attempts &- (exchange.pointee.wasHedged ? 1 : 0)
        let here = Int(attempts) - Int(exchange.pointee.attemptsCounted)
        exchange.pointee.attemptsCounted = attempts
        if here > 1, let pool = exchange.pointee.pool {
            metrics.retried(pool: PoolMetricsID(index: pool.pointee.shared.pointee.metrics), here - 1)
        }
    }

    /// `slow_request_ms`: one line, without field values or the query, which may hold secrets.
    private func logSlow(_ exchange: ExchangePointer, _ duration: UInt64) {
        guard HostLog.enabled(UInt32(SLUICE_LOG_WARNING)), let message = exchange.pointee.message,
            let memory = allocate(exchange, UInt8.self, 1_024)
        else { return }
        var writer = ByteWriter(memory, capacity: 1_024)
        writer.write("slow request: ")
        writer.write(decimal: duration / 1_000_000)
        writer.write(" ms, status ")
        writer.write(decimal: UInt64(exchange.pointee.sentStatus))
        if let pool = exchange.pointee.pool {
            writer.write(", model ")
            writer.write(json: pool.pointee.modelName)
            writer.write("/")
            writer.write(json: pool.pointee.versionName)
        }
        writer.write(", ")
        writer.write(json: message.pointee.method)
        writer.write(" ")
        writer.write(json: sluice_bytes(data: message.pointee.path.data, size: min(message.pointee.path.size, 256)))
        HostLog.write(
            UInt32(SLUICE_LOG_WARNING),
            source: UnsafeRawBufferPointer(start: ("sluice" as StaticString).utf8Start, count: 6),
            message: UnsafeRawBufferPointer(start: memory, count: writer.count))
    }

    func observe(
        _ exchange: ExchangePointer, _ tables: UnsafeMutablePointer<WorkerGeneration>, _ finished: UInt64
    ) {
        guard let request = exchange.pointee.request, let message = exchange.pointee.message else { return }
        var summary = sluice_summary()
        summary.model = request.pointee.model
        if let pool = exchange.pointee.pool {
            summary.model = pool.pointee.modelName
            summary.version = pool.pointee.versionName
            if exchange.pointee.machine.attempts > 0, let endpoint = exchange.pointee.endpoint {
                summary.endpoint = endpoint.pointee.text
            }
        }
        summary.tenant = request.pointee.tenant
        summary.adapter = exchange.pointee.adapter?.pointee.name ?? .empty
        summary.method = message.pointee.method
        summary.path = message.pointee.path
        summary.peer = peerText(exchange)
        summary.operation = request.pointee.operation
        summary.status = exchange.pointee.status
        summary.http_status = UInt32(exchange.pointee.sentStatus)
        summary.attempts = UInt32(exchange.pointee.machine.attempts)
        summary.batch_rows = exchange.pointee.batchRows
        summary.request_bytes = exchange.pointee.toEndpoint.bodyBytes
        summary.response_bytes = exchange.pointee.toClient.bodyBytes
        summary.duration_ns = finished &- exchange.pointee.receivedAt
        summary.started_wall_ns = clinux_wall_ns() &- summary.duration_ns
        summary.queued_ns = exchange.pointee.queuedFor
        if exchange.pointee.firstByteAt != 0 {
            summary.first_byte_ns = exchange.pointee.firstByteAt &- exchange.pointee.awaitedSince
        }
        for index in 0..<tables.pointee.observerCount {
            let observer = tables.pointee.observers + index
            let start = beginCall(exchange)
            observer.pointee.table.pointee.on_finish.unsafelyUnwrapped(observer.pointee.instance, &summary)
            endCall(exchange, observer.pointee.plugin, start)
        }
    }

    /// The client's address as text, in the arena.
    func peerText(_ exchange: ExchangePointer) -> sluice_bytes {
        if let pair = exchange.pointee.shadow { return pair.pointee.peer }
        guard let client = exchange.pointee.client, let text = allocate(exchange, UInt8.self, 64) else { return .empty }
        var address = SocketAddress()
        withUnsafeMutableBytes(of: &address.storage) { destination in
            withUnsafeBytes(of: client.pointee.peer) { destination.copyMemory(from: $0) }
        }
        address.length = socklen_t(client.pointee.peerLength)
        return sluice_bytes(text, address.write(to: text))
    }

    /// Gives back all that an exchange holds, but for what a plugin may still look at. False when the client's
    /// connection has lost bytes of its next request by that.
    @discardableResult
    func dispose(_ exchange: ExchangePointer) -> Bool {
        if exchange.pointee.isTunnel { metrics.tunnelClosed() }
        timers.stop(exchange.timer)
        if exchange.pointee.rival != nil { settleHedge(exchange) }
        detachUpstream(exchange)
        if exchange.pointee.place != nil { leaveQueue(exchange) }
        if exchange.pointee.batchMember != nil || exchange.pointee.batch != nil { leaveBatch(exchange) }
        leavePool(exchange)
        if let probe = exchange.pointee.probe { probeEnded(exchange, probe) }
        if let pair = exchange.pointee.shadow { shadowEnded(exchange, pair) }
        if let pair = exchange.pointee.shadowed { originalEnded(exchange, pair) }
        let tables = exchange.pointee.generation.unsafelyUnwrapped
        var isIntact = true
        if exchange.pointee.borrower < 0 { releaseMemory(exchange) } else { isIntact = hold(exchange) }
        tables.pointee.exchanges &-= 1
        if tables.pointee.retired { shrank(tables) }
        return isIntact
    }

    /// Its memory, and its place in the table. Its generation may be gone by then.
    @inline(__always)
    func releaseMemory(_ exchange: ExchangePointer) {
        buffers.give(exchange.pointee.toEndpoint.staged)
        buffers.give(exchange.pointee.toClient.staged)
        buffers.give(exchange.pointee.toEndpoint.trailers)
        buffers.give(exchange.pointee.toClient.trailers)
        buffers.give(exchange.pointee.gathered)
        exchange.pointee.ownedBuffers.release(to: &buffers)
        releaseRecovered(exchange)
        if exchange.pointee.toEndpoint.kept != nil { giveUpKept(&exchange.pointee.toEndpoint) }
        releaseCounted(exchange)
        if let block = exchange.pointee.payloadBlock { TensorBlock.deallocate(block) }
        exchange.pointee.arena.release(to: &buffers)
        exchanges.give(exchange)
    }
}
