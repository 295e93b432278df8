import SluiceABI

/// The load of an endpoint over all workers, read from the cache line of atomics that the host keeps. Each property is
/// a relaxed load of its own.
@frozen
public struct EndpointLoad {
    @usableFromInline let pointer: UnsafePointer<sluice_load>

    @inlinable @inline(__always)
    init(_ pointer: UnsafePointer<sluice_load>) { self.pointer = pointer }

    @inlinable @inline(__always)
    var base: UnsafeRawPointer { UnsafeRawPointer(pointer) }

    /// Attempts under way.
    @inlinable public var inFlight: UInt32 {
        sluice_load_u32(base.assumingMemoryBound(to: UInt32.self))
    }
    @inlinable public var isHealthy: Bool { sluice_load_u32((base + 4).assumingMemoryBound(to: UInt32.self)) != 0 }
    /// Nanoseconds to the first byte of a response, as a moving average; 0: none seen.
    @inlinable public var latency: UInt64 { sluice_load_u64((base + 8).assumingMemoryBound(to: UInt64.self)) }
    /// Attempts begun.
    @inlinable public var requests: UInt64 { sluice_load_u64((base + 16).assumingMemoryBound(to: UInt64.self)) }
    /// Attempts that failed.
    @inlinable public var failures: UInt64 { sluice_load_u64((base + 24).assumingMemoryBound(to: UInt64.self)) }
    /// Nanoseconds of the monotonic clock.
    @inlinable public var lastFailure: UInt64 { sluice_load_u64((base + 32).assumingMemoryBound(to: UInt64.self)) }
}

/// An endpoint of a pool.
@frozen
public struct Endpoint: ListElement {
    public let pointer: UnsafePointer<sluice_endpoint>

    @inlinable @inline(__always)
    public init(_ pointer: UnsafePointer<sluice_endpoint>) { self.pointer = pointer }

    /// The same in every generation for the same address, until nothing has named that for a minute or longer; no two
    /// addresses ever have the same.
    @inlinable public var id: UInt64 { pointer.pointee.id }
    /// As configured.
    @inlinable public var address: Bytes { Bytes(pointer.pointee.address) }
    @inlinable public var weight: UInt32 { pointer.pointee.weight }
    @inlinable public var load: EndpointLoad { EndpointLoad(pointer.pointee.load) }
}

/// What `pick` is asked: the pool's endpoints and which of them may be taken.
@frozen
public struct Candidates {
    public let pointer: UnsafePointer<sluice_pick>

    @inlinable @inline(__always)
    public init(_ pointer: UnsafePointer<sluice_pick>) { self.pointer = pointer }

    /// 1 to 4096.
    @inlinable public var endpoints: List<Endpoint> { List(pointer.pointee.endpoints, count: pointer.pointee.count) }
    /// 1: the first.
    @inlinable public var attempt: UInt32 { pointer.pointee.attempt }
    /// At least 1.
    @inlinable public var eligibleCount: Int { Int(pointer.pointee.eligible_count) }

    /// The low 32 bits of the monotonic time in milliseconds, as of this turn of the worker's loop; 0: not said.
    @inlinable public var milliseconds: UInt32 { pointer.pointee.now_ms }

    /// Whether endpoint `index` is healthy, its breaker lets it, and it was not just tried.
    @inlinable
    public func isEligible(_ index: Int) -> Bool {
        UInt(bitPattern: index) < UInt(pointer.pointee.count)
            && sluice_pick_eligible(pointer, UInt32(truncatingIfNeeded: index))
    }

    /// The first eligible endpoint at or after `start`, going around.
    @inlinable
    public func firstEligible(from start: Int) -> Int {
        let count = Int(pointer.pointee.count)
        var index = start
        for _ in 0..<count {
            if index >= count { index = 0 }
            if isEligible(index) { return index }
            index &+= 1
        }
        return 0
    }
}

/// How an attempt, or a batch, ended.
@frozen
public struct Outcome {
    public let pointer: UnsafePointer<sluice_outcome>

    @inlinable @inline(__always)
    public init(_ pointer: UnsafePointer<sluice_outcome>) { self.pointer = pointer }

    /// Index into the endpoints that were told last; one that has left since is not told of.
    @inlinable public var endpoint: Int { Int(pointer.pointee.endpoint) }
    /// Nil: it did not fail.
    @inlinable public var error: ErrorCode? {
        pointer.pointee.status < 0 ? ErrorCode(status: pointer.pointee.status) : nil
    }
    /// 0: no answer.
    @inlinable public var httpStatus: UInt32 { pointer.pointee.http_status }
    @inlinable public var attempt: UInt32 { pointer.pointee.attempt }
    /// Nanoseconds from the attempt's begin, or from the request's last byte where that came later; 0: none came.
    @inlinable public var firstByte: UInt64 { pointer.pointee.first_byte_ns }
    /// Nanoseconds.
    @inlinable public var total: UInt64 { pointer.pointee.total_ns }
    /// When, in nanoseconds of the monotonic clock, as of this turn of the worker's loop. Cheaper than the clock.
    @inlinable public var ended: UInt64 { pointer.pointee.ended_ns }
}

/// Picks an endpoint of a pool for each attempt. One instance for each pool (and each worker, unless shared).
public protocol Balancer: PluginExtension, ~Copyable {
    /// Index of an eligible endpoint; any other falls back to the first eligible one and is counted. On the worker.
    mutating func pick(_ candidates: Candidates, for request: Request, exchange: Exchange) -> Int
    /// How an attempt ended. On the worker.
    mutating func attemptEnded(_ outcome: Outcome)
    /// The pool's endpoints, before the first pick and at each change; they live until the next call. On the control
    /// thread before the first pick, then on the worker.
    mutating func endpointsChanged(_ endpoints: List<Endpoint>)
    /// Whether `responseBegan` is called. False unless said; then no call is made, and nothing is spent on it.
    static var readsResponseHeads: Bool { get }
    /// The head of an endpoint's answer has come, at most once an attempt and before `attemptEnded`. On the worker.
    mutating func responseBegan(_ head: AnswerHead)
}

extension Balancer where Self: ~Copyable {
    public mutating func attemptEnded(_ outcome: Outcome) {}
    public mutating func endpointsChanged(_ endpoints: List<Endpoint>) {}
    public static var readsResponseHeads: Bool { false }
    public mutating func responseBegan(_ head: AnswerHead) {}
}

/// The C functions of a balancer's table.
enum BalancerTable {
    typealias Box = InstanceBox<any (Balancer & ~Copyable).Type>
    nonisolated(unsafe) static var type: (any (Balancer & ~Copyable).Type)?

    static func make() -> sluice_balancer {
        var table = sluice_balancer()
        table.base = instanceHead(
            tableSize: MemoryLayout<sluice_balancer>.size, instancing: type?.instancing,
            create: { host, arguments, instance in
                createInstance(host, arguments, instance, BalancerTable.type, BalancerTable.type)
            },
            destroy: { instance in Box.destroy(instance) })
        table.pick = { instance, exchange, request, pick in
            let box = Box.at(instance)
            return BalancerTable.pick(
                box.pointee.type, box.pointee.state, box.pointee.services, exchange, request, pick)
        }
        table.on_result = { instance, outcome in
            let box = Box.at(instance)
            BalancerTable.attemptEnded(box.pointee.type, box.pointee.state, outcome)
        }
        table.on_endpoints = { instance, endpoints, count in
            let box = Box.at(instance)
            BalancerTable.endpointsChanged(box.pointee.type, box.pointee.state, endpoints, count)
        }
        return table
    }

    /// The table of "sluice.balancer/2", for types that read the heads of answers.
    static func makeWithHeads() -> sluice_balancer_2 {
        let first = make()
        var table = sluice_balancer_2()
        table.base = first.base
        table.base.struct_size = UInt32(MemoryLayout<sluice_balancer_2>.size)
        table.pick = first.pick
        table.on_result = first.on_result
        table.on_endpoints = first.on_endpoints
        table.on_head = { instance, head in
            let box = Box.at(instance)
            BalancerTable.responseBegan(box.pointee.type, box.pointee.state, head)
        }
        return table
    }

    @inline(__always)
    static func pick<Extension: Balancer & ~Copyable>(
        _ type: Extension.Type, _ state: UnsafeMutableRawPointer, _ services: UnsafePointer<HostServices>,
        _ exchange: OpaquePointer?, _ request: UnsafePointer<sluice_request>?, _ pick: UnsafePointer<sluice_pick>?
    ) -> UInt32 {
        UInt32(
            truncatingIfNeeded: state.assumingMemoryBound(to: Extension.self).pointee.pick(
                Candidates(pick.unsafelyUnwrapped), for: Request(request.unsafelyUnwrapped),
                exchange: Exchange(exchange, services)))
    }

    @inline(__always)
    static func attemptEnded<Extension: Balancer & ~Copyable>(
        _ type: Extension.Type, _ state: UnsafeMutableRawPointer, _ outcome: UnsafePointer<sluice_outcome>?
    ) {
        state.assumingMemoryBound(to: Extension.self).pointee.attemptEnded(Outcome(outcome.unsafelyUnwrapped))
    }

    @inline(__always)
    static func endpointsChanged<Extension: Balancer & ~Copyable>(
        _ type: Extension.Type, _ state: UnsafeMutableRawPointer, _ endpoints: UnsafePointer<sluice_endpoint>?,
        _ count: UInt32
    ) {
        state.assumingMemoryBound(to: Extension.self).pointee.endpointsChanged(List(endpoints, count: count))
    }

    @inline(__always)
    static func responseBegan<Extension: Balancer & ~Copyable>(
        _ type: Extension.Type, _ state: UnsafeMutableRawPointer, _ head: UnsafePointer<sluice_answer_head>?
    ) {
        state.assumingMemoryBound(to: Extension.self).pointee.responseBegan(AnswerHead(head.unsafelyUnwrapped))
    }
}
