import SluiceABI

/// An exchange that ended. Times in nanoseconds.
@frozen
public struct Summary {
    public let pointer: UnsafePointer<sluice_summary>

    @inlinable @inline(__always)
    public init(_ pointer: UnsafePointer<sluice_summary>) { self.pointer = pointer }

    @inlinable public var model: Bytes { Bytes(pointer.pointee.model) }
    @inlinable public var version: Bytes { Bytes(pointer.pointee.version) }
    @inlinable public var tenant: Bytes { Bytes(pointer.pointee.tenant) }
    /// Name in the configuration.
    @inlinable public var adapter: Bytes { Bytes(pointer.pointee.adapter) }
    @inlinable public var method: Bytes { Bytes(pointer.pointee.method) }
    @inlinable public var path: Bytes { Bytes(pointer.pointee.path) }
    @inlinable public var peer: Bytes { Bytes(pointer.pointee.peer) }
    /// Of the last attempt; empty: none.
    @inlinable public var endpoint: Bytes { Bytes(pointer.pointee.endpoint) }
    @inlinable public var operation: Operation { Operation(rawValue: pointer.pointee.operation) ?? .other }
    /// Nil: it did not fail.
    @inlinable public var error: ErrorCode? {
        pointer.pointee.status < 0 ? ErrorCode(status: pointer.pointee.status) : nil
    }
    /// Sent to the client; 0: none.
    @inlinable public var httpStatus: UInt32 { pointer.pointee.http_status }
    @inlinable public var attempts: UInt32 { pointer.pointee.attempts }
    /// Of the batch it stood in; 0: none.
    @inlinable public var batchRows: UInt32 { pointer.pointee.batch_rows }
    /// Of the body.
    @inlinable public var requestBytes: UInt64 { pointer.pointee.request_bytes }
    @inlinable public var responseBytes: UInt64 { pointer.pointee.response_bytes }
    /// Since 1970-01-01 UTC.
    @inlinable public var startedWall: UInt64 { pointer.pointee.started_wall_ns }
    /// From the complete head of the request to the last byte of the response.
    @inlinable public var duration: UInt64 { pointer.pointee.duration_ns }
    /// In scheduler and batcher.
    @inlinable public var queued: UInt64 { pointer.pointee.queued_ns }
    /// From the begin of the last attempt; 0: none came.
    @inlinable public var firstByte: UInt64 { pointer.pointee.first_byte_ns }
}

/// Sees each exchange that ended, also those that failed.
public protocol Observer: PluginExtension, ~Copyable {
    /// On the worker.
    mutating func exchangeFinished(_ summary: Summary)
}

/// The C functions of an observer's table.
enum ObserverTable {
    typealias Box = InstanceBox<any (Observer & ~Copyable).Type>
    nonisolated(unsafe) static var type: (any (Observer & ~Copyable).Type)?

    static func make() -> sluice_observer {
        var table = sluice_observer()
        table.base = instanceHead(
            tableSize: MemoryLayout<sluice_observer>.size, instancing: type?.instancing,
            create: { host, arguments, instance in
                createInstance(host, arguments, instance, ObserverTable.type, ObserverTable.type)
            },
            destroy: { instance in Box.destroy(instance) })
        table.on_finish = { instance, summary in
            let box = Box.at(instance)
            ObserverTable.exchangeFinished(box.pointee.type, box.pointee.state, summary)
        }
        return table
    }

    @inline(__always)
    static func exchangeFinished<Extension: Observer & ~Copyable>(
        _ type: Extension.Type, _ state: UnsafeMutableRawPointer, _ summary: UnsafePointer<sluice_summary>?
    ) {
        state.assumingMemoryBound(to: Extension.self).pointee.exchangeFinished(Summary(summary.unsafelyUnwrapped))
    }
}
