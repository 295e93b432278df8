import Synchronization

/// The series of one model version, the same in every generation. [any]
struct PoolMetricsID: Hashable, Sendable {
    let index: Int32
    /// Exchanges that ended before a model was known.
    static let none = PoolMetricsID(index: 0)
    /// What is beyond the bound on series.
    static let other = PoolMetricsID(index: 1)
}

/// The series of one endpoint of one model version, the same in every generation. [any]
struct EndpointMetricsID: Hashable, Sendable {
    let index: Int32
    /// What is beyond the bound on endpoints.
    static let other = EndpointMetricsID(index: 0)
}

/// The series of one plugin by its name in the configuration, the same in every generation. [any]
struct PluginMetricsID: Hashable, Sendable {
    let index: Int32
    /// What is beyond the bound on plugins, and exchanges of no adapter.
    static let other = PluginMetricsID(index: 0)
}

/// The counters of one worker. All functions are the worker's own [worker]; the registry reads from another thread.
/// A copy of this struct is a pointer, and lives as long as the registry.
struct MetricShard: Sendable {
    let cells: MetricCells

    // MARK: Exchanges

    /// A request's head is complete. `requestFinished` ends it.
    @inline(__always)
    func requestBegan() {
        cells.add(1, at: MetricLayout.exchangesBegun)
    }

    /// An exchange became a tunnel. `tunnelClosed` ends it.
    func tunnelOpened() { cells.add(1, at: MetricLayout.tunnels) }
    func tunnelClosed() { cells.add(.max, at: MetricLayout.tunnels) }

    /// An exchange ended.
    /// - Parameters:
    ///   - status: what was sent to the client, 100 to 599; any other value means that nothing was.
    ///   - durationNs: from the complete head of the request to the last byte of the response.
    ///   - firstByteNs: from the begin of the last attempt to the first byte of its response; 0: none came.
    ///   - requestBytes: of the body. Likewise `responseBytes`.
    @inline(__always)
    func requestFinished(
        pool: PoolMetricsID, adapter: PluginMetricsID, status: Int, durationNs: UInt64, firstByteNs: UInt64,
        requestBytes: UInt64, responseBytes: UInt64
    ) {
        cells.add(1, at: MetricLayout.exchangesEnded)
        let series = offset(pool)
        let known = status >= 100 && status < 600
        let statusClass = known ? Int(truncatingIfNeeded: UInt32(truncatingIfNeeded: status) / 100) : 0
        cells.add(1, at: series + MetricLayout.status + (known ? status - 99 : 0))
        observe(durationNs, at: series + MetricLayout.duration + statusClass * LatencyBuckets.cells)
        if firstByteNs != 0 { observe(firstByteNs, at: series + MetricLayout.firstByte) }
        if requestBytes != 0 { cells.add(requestBytes, at: series + MetricLayout.requestBytes) }
        if responseBytes != 0 { cells.add(responseBytes, at: series + MetricLayout.responseBytes) }
        cells.add(1, at: offset(adapter) + MetricLayout.adapterRequests)
    }

    /// An exchange took `count` attempts after its first.
    @inline(__always)
    func retried(pool: PoolMetricsID, _ count: Int) {
        cells.add(UInt64(count), at: offset(pool) + MetricLayout.retries)
    }

    /// A request was not tried again, since as many of its pool are as may be.
    func retryRefused(pool: PoolMetricsID) { cells.add(1, at: offset(pool) + MetricLayout.retriesRefused) }

    /// A second attempt was made beside a slow one; it was the one that was answered; it was not made, since as many
    /// are under way, or were made lately, as may be.
    func hedged(pool: PoolMetricsID) { cells.add(1, at: offset(pool) + MetricLayout.hedges) }
    func hedgeWon(pool: PoolMetricsID) { cells.add(1, at: offset(pool) + MetricLayout.hedgesWon) }
    func hedgeRefused(pool: PoolMetricsID) { cells.add(1, at: offset(pool) + MetricLayout.hedgesRefused) }

    /// A step of a fallback was taken in place of an answer of that pool.
    func degraded(pool: PoolMetricsID) { cells.add(1, at: offset(pool) + MetricLayout.degraded) }

    func breakerOpened(pool: PoolMetricsID) { cells.add(1, at: offset(pool) + MetricLayout.breakerOpened) }

    /// An endpoint was taken out for what it answered.
    func ejected(pool: PoolMetricsID) { cells.add(1, at: offset(pool) + MetricLayout.ejections) }

    /// An active check ended.
    func checked(pool: PoolMetricsID, succeeded: Bool) {
        cells.add(1, at: offset(pool) + MetricLayout.checks)
        if !succeeded { cells.add(1, at: offset(pool) + MetricLayout.checksFailed) }
    }

    /// The gateway itself said no. The exchange, if there is one, is counted by `requestFinished` as well.
    @inline(__always)
    func rejected(_ reason: RejectReason) {
        cells.add(1, at: MetricLayout.rejected + reason.rawValue)
    }

    @inline(__always)
    func timedOut(_ kind: TimeoutKind) {
        cells.add(1, at: MetricLayout.timeouts + kind.rawValue)
    }

    @inline(__always)
    func parseFailed(_ side: ConnectionSide, _ kind: ParseErrorKind) {
        let row = side.rawValue * ParseErrorKind.count
        cells.add(1, at: MetricLayout.parseErrors + row + kind.rawValue)
    }

    /// A handshake of TLS was completed.
    func handshakeEnded(_ side: ConnectionSide, resumed: Bool) {
        let kind: HandshakeKind = resumed ? .resumed : .full
        cells.add(1, at: MetricLayout.handshakes + side.rawValue * HandshakeKind.count + kind.rawValue)
    }

    // MARK: Attempts and pools

    /// One try on one endpoint ended after `durationNs`.
    @inline(__always)
    func attemptFinished(endpoint: EndpointMetricsID, outcome: AttemptOutcome, durationNs: UInt64) {
        let row = offset(endpoint)
        cells.add(1, at: row + outcome.rawValue)
        cells.add(durationNs, at: row + MetricLayout.attemptTime)
    }

    /// A connection toward an endpoint was established.
    @inline(__always)
    func upstreamOpened(pool: PoolMetricsID) {
        cells.add(1, at: offset(pool) + MetricLayout.upstreamOpened)
        cells.add(1, at: MetricLayout.opened + ConnectionSide.upstream.rawValue)
    }

    /// A connection toward an endpoint was closed; `wasIdle` when it stood in the pool at that time.
    @inline(__always)
    func upstreamClosed(pool: PoolMetricsID, wasIdle: Bool) {
        cells.add(1, at: offset(pool) + MetricLayout.upstreamClosed)
        cells.add(1, at: MetricLayout.closed + ConnectionSide.upstream.rawValue)
        if wasIdle { cells.add(.max, at: offset(pool) + MetricLayout.upstreamIdle) }
    }

    /// A connection went back to the pool.
    @inline(__always)
    func upstreamParked(pool: PoolMetricsID) {
        cells.add(1, at: offset(pool) + MetricLayout.upstreamIdle)
    }

    /// A connection was taken from the pool for one more exchange.
    @inline(__always)
    func upstreamReused(pool: PoolMetricsID) {
        cells.add(.max, at: offset(pool) + MetricLayout.upstreamIdle)
        cells.add(1, at: offset(pool) + MetricLayout.upstreamReused)
    }

    /// A request joined the pool's queue. `dequeued` takes it out again, on this worker or on another one.
    @inline(__always)
    func enqueued(pool: PoolMetricsID) {
        cells.add(1, at: offset(pool) + MetricLayout.queueDepth)
    }

    /// A request left the pool's queue after `nanoseconds`, for an attempt or without one.
    @inline(__always)
    func dequeued(pool: PoolMetricsID, nanoseconds: UInt64) {
        let series = offset(pool)
        cells.add(.max, at: series + MetricLayout.queueDepth)
        observe(nanoseconds, at: series + MetricLayout.queued)
    }

    /// A request has waited in the pool's batcher for `nanoseconds`. Such requests are not in `queueDepth`.
    @inline(__always)
    func waitedForBatch(pool: PoolMetricsID, nanoseconds: UInt64) {
        observe(nanoseconds, at: offset(pool) + MetricLayout.queued)
    }

    /// A batch of `requests` with `rows` in all was sent.
    @inline(__always)
    func batch(pool: PoolMetricsID, requests: UInt32, rows: UInt32) {
        let series = offset(pool)
        cells.add(1, at: series + MetricLayout.batchRows + RowBuckets.index(of: rows))
        cells.add(UInt64(rows), at: series + MetricLayout.batchRows + RowBuckets.count)
        cells.add(UInt64(requests), at: series + MetricLayout.batchedRequests)
    }

    // MARK: Connections of clients, bytes and memory

    @inline(__always)
    func clientOpened() {
        cells.add(1, at: MetricLayout.opened + ConnectionSide.client.rawValue)
    }

    @inline(__always)
    func clientClosed() {
        cells.add(1, at: MetricLayout.closed + ConnectionSide.client.rawValue)
    }

    /// Bytes read from (`received`) and written to the sockets of one side.
    @inline(__always)
    func bytes(_ side: ConnectionSide, received: UInt64, sent: UInt64) {
        if received != 0 { cells.add(received, at: MetricLayout.received + side.rawValue) }
        if sent != 0 { cells.add(sent, at: MetricLayout.sent + side.rawValue) }
    }

    /// Where the worker's pool counts the buffers in use, in the order of `BufferClass`.
    var buffersInUse: UnsafeMutablePointer<Atomic<UInt64>> { cells.base + MetricLayout.buffers }

    /// The row is given away: its counters begin again.
    func clear(endpoint: EndpointMetricsID) {
        guard endpoint != .other else { return }
        let row = offset(endpoint)
        for cell in row..<row + MetricLayout.endpointCells { cells.set(0, at: cell) }
    }

    // MARK: Plugins

    /// A call into a plugin took `nanoseconds`. Timing every call would cost more than most calls: the caller samples.
    @inline(__always)
    func pluginCall(plugin: PluginMetricsID, nanoseconds: UInt64) {
        let row = offset(plugin)
        cells.add(1, at: row + MetricLayout.calls)
        cells.add(nanoseconds, at: row + MetricLayout.callTime)
        if nanoseconds > cells[row + MetricLayout.callLongest] {
            cells.set(nanoseconds, at: row + MetricLayout.callLongest)
        }
    }

    /// A call into a plugin returned an error or an answer that breaks the ABI. Not sampled.
    @inline(__always)
    func pluginFailed(plugin: PluginMetricsID) {
        cells.add(1, at: offset(plugin) + MetricLayout.callErrors)
    }

    /// An exchange ended that the plugin had suspended and has not resumed. `exchangeLetGo` ends that.
    func exchangeHeld(plugin: PluginMetricsID) { cells.add(1, at: offset(plugin) + MetricLayout.held) }
    func exchangeLetGo(plugin: PluginMetricsID) { cells.add(.max, at: offset(plugin) + MetricLayout.held) }

    /// How many there are.
    @inline(__always)
    func held(plugin: PluginMetricsID) -> UInt64 { cells[offset(plugin) + MetricLayout.held] }

    // MARK: Places

    @inline(__always)
    private func observe(_ nanoseconds: UInt64, at histogram: Int) {
        cells.add(1, at: histogram + LatencyBuckets.index(of: nanoseconds, table: cells))
        cells.add(nanoseconds, at: histogram + LatencyBuckets.count)
    }

    @inline(__always)
    private func offset(_ pool: PoolMetricsID) -> Int {
        assert(pool.index >= 0 && pool.index < MetricLayout.poolCapacity + 2)
        return MetricLayout.pools + Int(pool.index) * MetricLayout.poolCells
    }

    @inline(__always)
    private func offset(_ endpoint: EndpointMetricsID) -> Int {
        assert(endpoint.index >= 0 && endpoint.index <= MetricLayout.endpointCapacity)
        return MetricLayout.endpoints + Int(endpoint.index) * MetricLayout.endpointCells
    }

    @inline(__always)
    private func offset(_ plugin: PluginMetricsID) -> Int {
        assert(plugin.index >= 0 && plugin.index <= MetricLayout.pluginCapacity)
        return MetricLayout.plugins + Int(plugin.index) * MetricLayout.pluginCells
    }
}
