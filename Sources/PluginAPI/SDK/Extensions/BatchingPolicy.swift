import SluiceABI

/// The queue of requests that may stand in one batch. Times are nanoseconds of the monotonic clock.
@frozen
public struct BatchQueue {
    public let pointer: UnsafePointer<sluice_batch>

    @inlinable @inline(__always)
    public init(_ pointer: UnsafePointer<sluice_batch>) { self.pointer = pointer }

    /// Requests that wait.
    @inlinable public var count: Int { Int(pointer.pointee.count) }
    /// The sum of their first dimensions.
    @inlinable public var rows: Int { Int(pointer.pointee.rows) }
    /// Of their tensors.
    @inlinable public var bytes: UInt64 { pointer.pointee.bytes }
    /// When the first one came.
    @inlinable public var oldest: UInt64 { pointer.pointee.oldest_ns }
    @inlinable public var now: UInt64 { pointer.pointee.now_ns }
    /// `UInt64.max`: none has one.
    @inlinable public var earliestDeadline: UInt64 { pointer.pointee.earliest_deadline_ns }
    /// `max_batch_size` in force.
    @inlinable public var maximumRows: Int { Int(pointer.pointee.max_rows) }
    /// Batches of this pool under way.
    @inlinable public var inFlight: Int { Int(pointer.pointee.in_flight) }
    /// `max_delay_ms` in force, in nanoseconds.
    @inlinable public var maximumDelay: UInt64 { pointer.pointee.max_delay_ns }
}

/// What a batching policy decides.
@frozen
public enum BatchDecision {
    /// The oldest `count` requests go now as one batch.
    case flush(Int)
    /// Wait; ask again at this monotonic time when nothing happens before.
    case wait(until: UInt64)
    /// Wait until something happens.
    case hold
}

/// Decides when a queue is flushed and how many go. One instance for each pool, on the pool's home worker.
public protocol BatchingPolicy: PluginExtension, ~Copyable {
    /// Requests with different keys never share a batch, beyond what the host keeps apart (pool, names, types and shapes
    /// but the first dimension, requested outputs, parameters).
    mutating func groupKey(_ request: Request) -> UInt64
    /// After a request was added, and again as long as it flushes something.
    mutating func requestAdded(_ queue: BatchQueue) -> BatchDecision
    /// When the time that `wait(until:)` named has come.
    mutating func timeCame(_ queue: BatchQueue) -> BatchDecision
    mutating func batchEnded(count: Int, rows: Int, _ outcome: Outcome)
}

extension BatchingPolicy where Self: ~Copyable {
    public mutating func groupKey(_ request: Request) -> UInt64 { 0 }
    public mutating func batchEnded(count: Int, rows: Int, _ outcome: Outcome) {}
}

/// The C functions of a batching policy's table.
enum BatchingTable {
    typealias Box = InstanceBox<any (BatchingPolicy & ~Copyable).Type>
    nonisolated(unsafe) static var type: (any (BatchingPolicy & ~Copyable).Type)?

    static func make() -> sluice_batcher {
        var table = sluice_batcher()
        table.base = instanceHead(
            tableSize: MemoryLayout<sluice_batcher>.size, instancing: type?.instancing,
            create: { host, arguments, instance in
                createInstance(host, arguments, instance, BatchingTable.type, BatchingTable.type)
            },
            destroy: { instance in Box.destroy(instance) })
        table.group_key = { instance, request in
            let box = Box.at(instance)
            return BatchingTable.groupKey(box.pointee.type, box.pointee.state, request)
        }
        table.enqueue = { instance, batch, decision in
            let box = Box.at(instance)
            BatchingTable.requestAdded(box.pointee.type, box.pointee.state, batch, decision)
        }
        table.on_timer = { instance, batch, decision in
            let box = Box.at(instance)
            BatchingTable.timeCame(box.pointee.type, box.pointee.state, batch, decision)
        }
        table.on_batch_done = { instance, count, rows, outcome in
            let box = Box.at(instance)
            BatchingTable.batchEnded(box.pointee.type, box.pointee.state, count, rows, outcome)
        }
        return table
    }

    @inline(__always)
    static func groupKey<Policy: BatchingPolicy & ~Copyable>(
        _ type: Policy.Type, _ state: UnsafeMutableRawPointer, _ request: UnsafePointer<sluice_request>?
    ) -> UInt64 {
        state.assumingMemoryBound(to: Policy.self).pointee.groupKey(Request(request.unsafelyUnwrapped))
    }

    @inline(__always)
    static func requestAdded<Policy: BatchingPolicy & ~Copyable>(
        _ type: Policy.Type, _ state: UnsafeMutableRawPointer, _ batch: UnsafePointer<sluice_batch>?,
        _ decision: UnsafeMutablePointer<sluice_batch_decision>?
    ) {
        let verdict = state.assumingMemoryBound(to: Policy.self).pointee.requestAdded(
            BatchQueue(batch.unsafelyUnwrapped))
        decision.unsafelyUnwrapped.pointee = raw(verdict)
    }

    @inline(__always)
    static func timeCame<Policy: BatchingPolicy & ~Copyable>(
        _ type: Policy.Type, _ state: UnsafeMutableRawPointer, _ batch: UnsafePointer<sluice_batch>?,
        _ decision: UnsafeMutablePointer<sluice_batch_decision>?
    ) {
        let verdict = state.assumingMemoryBound(to: Policy.self).pointee.timeCame(BatchQueue(batch.unsafelyUnwrapped))
        decision.unsafelyUnwrapped.pointee = raw(verdict)
    }

    @inline(__always)
    static func batchEnded<Policy: BatchingPolicy & ~Copyable>(
        _ type: Policy.Type, _ state: UnsafeMutableRawPointer, _ count: UInt32, _ rows: UInt32,
        _ outcome: UnsafePointer<sluice_outcome>?
    ) {
        state.assumingMemoryBound(to: Policy.self).pointee.batchEnded(
            count: Int(count), rows: Int(rows), Outcome(outcome.unsafelyUnwrapped))
    }

    @inline(__always)
    static func raw(_ decision: BatchDecision) -> sluice_batch_decision {
        switch decision {
        case .flush(let count):
            sluice_batch_decision(flush: UInt32(clamping: count), reserved: 0, timer_ns: UInt64.max)
        case .wait(let time): sluice_batch_decision(flush: 0, reserved: 0, timer_ns: time)
        case .hold: sluice_batch_decision(flush: 0, reserved: 0, timer_ns: UInt64.max)
        }
    }
}
