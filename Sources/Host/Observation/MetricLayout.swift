/// Where each metric lies in a shard, in cells of 8 bytes. All tables stand at their bound; pages are touched only for
/// what is used (about 8 KiB for a model version under traffic).
enum MetricLayout {
    // Bounds. What is beyond a bound is counted under one series named `other`, so that a label that comes from a
    // configuration that grows without end can exhaust neither memory nor the scraper.

    /// Model versions: 1,024 of them is 4 × the largest fleet that one gateway was planned for, and 2 MB of text.
    static let poolCapacity = 1_024
    /// Endpoints over all pools: the bound of one pool's `pick`, since most of the endpoints are in few pools.
    static let endpointCapacity = 4_096
    /// Plugins by their name in the configuration; a chain has about ten.
    static let pluginCapacity = 256
    /// Metrics that plugins declare: 64 an instance, for 32 plugins that use all of theirs.
    static let declaredCapacity = 2_048

    // The host's own.

    static let latencyTable = 0
    static let opened = latencyTable + LatencyBuckets.tableCells
    static let closed = opened + ConnectionSide.count
    static let received = closed + ConnectionSide.count
    static let sent = received + ConnectionSide.count
    static let parseErrors = sent + ConnectionSide.count
    static let handshakes = parseErrors + ConnectionSide.count * ParseErrorKind.count
    static let timeouts = handshakes + ConnectionSide.count * HandshakeKind.count
    static let rejected = timeouts + TimeoutKind.count
    static let buffers = rejected + RejectReason.count
    static let exchangesBegun = buffers + BufferClass.count
    static let exchangesEnded = exchangesBegun + 1
    static let tunnels = exchangesEnded + 1
    static let hostEnd = tunnels + 1

    // One model version. The status cells come last: of their 501 most stay untouched.

    /// Nothing, 1xx to 5xx.
    static let statusClasses = 6
    static let duration = 0
    static let firstByte = duration + statusClasses * LatencyBuckets.cells
    static let queued = firstByte + LatencyBuckets.cells
    static let batchRows = queued + LatencyBuckets.cells
    static let batchedRequests = batchRows + RowBuckets.cells
    static let requestBytes = batchedRequests + 1
    static let responseBytes = requestBytes + 1
    static let retries = responseBytes + 1
    static let queueDepth = retries + 1
    static let upstreamOpened = queueDepth + 1
    static let upstreamClosed = upstreamOpened + 1
    static let upstreamIdle = upstreamClosed + 1
    static let upstreamReused = upstreamIdle + 1
    static let retriesRefused = upstreamReused + 1
    static let degraded = retriesRefused + 1
    static let hedges = degraded + 1
    static let hedgesWon = hedges + 1
    static let hedgesRefused = hedgesWon + 1
    static let breakerOpened = hedgesRefused + 1
    static let ejections = breakerOpened + 1
    static let checks = ejections + 1
    static let checksFailed = checks + 1
    /// No answer was sent (cell 0), then 100 to 599.
    static let status = checksFailed + 1
    static let statusCells = 501
    static let poolCells = 704

    // One endpoint: attempts by outcome, then their time.

    static let attemptTime = AttemptOutcome.count
    static let endpointCells = 16

    // One plugin.

    static let calls = 0
    static let callTime = 1
    static let callLongest = 2
    static let callErrors = 3
    static let adapterRequests = 4
    static let held = 5
    static let pluginCells = 8

    // One declared metric: the value or the sum, then the buckets of a histogram.

    static let declaredCells = 32

    // Begin of each table. The first two pools are `none` and `other`, the first endpoint and plugin is `other`.

    static let pools = (hostEnd + 7) & ~7
    static let endpoints = pools + (poolCapacity + 2) * poolCells
    static let plugins = endpoints + (endpointCapacity + 1) * endpointCells
    static let declared = plugins + (pluginCapacity + 1) * pluginCells
    static let total = declared + declaredCapacity * declaredCells
}
