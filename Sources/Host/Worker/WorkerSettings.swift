import Synchronization

/// What a worker is told once, when it starts.
struct WorkerSettings: Sendable {
    /// Clients of this worker; the gateway's bound is shared by all workers, so that one worker may have them all.
    var maxConnections: Int
    /// Connections to endpoints of this worker: as many as clients, and for each endpoint some idle ones.
    var maxUpstreamConnections: Int
    /// Of buffers that the worker keeps when a burst is over.
    var spareBufferBytes: Int
    /// Of blocks of libnghttp2 that the worker keeps when streams end.
    var spareStreamBytes: Int
    var cores: [Int]
    var connections: ConnectionCount

    func core(of worker: Int) -> Int? { cores.isEmpty ? nil : cores[worker % cores.count] }
}

/// Client connections of the whole gateway against `max_connections`; one atomic for all workers.
final class ConnectionCount: Sendable {
    private let open = Atomic<Int>(0)
    private let bound: Int

    init(bound: Int) { self.bound = bound }

    /// False when the bound is reached.
    func take() -> Bool {
        if open.wrappingAdd(1, ordering: .relaxed).newValue <= bound { return true }
        give()
        return false
    }

    /// No client is left at any worker.
    var isEmpty: Bool { open.load(ordering: .relaxed) == 0 }

    func give() { open.wrappingSubtract(1, ordering: .relaxed) }
}

enum TimerKind {
    static let client: UInt8 = 1
    static let exchange: UInt8 = 2
    static let upstream: UInt8 = 3
    static let plugin: UInt8 = 4
    static let batching: UInt8 = 5
    static let accepting: UInt8 = 6
    static let probe: UInt8 = 7
    static let outliers: UInt8 = 8
    static let poolRoom: UInt8 = 9
}

struct WorkerSnapshot: Sendable {
    var worker: Int
    var clients: Int
    var upstreams: Int
    var exchanges: Int
    var bufferBytes: Int
    var generation: UInt64
    /// Exchanges under way, by the number of the generation they began on.
    var byGeneration: [UInt64: Int]
}
