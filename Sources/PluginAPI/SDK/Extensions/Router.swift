import SluiceABI

/// What a router says.
@frozen
public enum RouterVerdict: Int32, Sendable {
    /// The decision is as it should be.
    case decided = 0
    /// The decision stands as it stood.
    case declined = 1
    /// To be asked again when the payload is decoded.
    case needsBody = 2
    /// The answer comes later: see `Exchange.suspension`.
    case pending = 4
}

/// What stands so far, earlier routers of the chain included.
@frozen
public struct RouteDecision {
    public let pointer: UnsafeMutablePointer<sluice_route_decision>

    @inlinable @inline(__always)
    public init(_ pointer: UnsafeMutablePointer<sluice_route_decision>) { self.pointer = pointer }

    /// Id of the model; nil: unknown.
    @inlinable public var model: UInt32? {
        get { ModelID.optional(pointer.pointee.model) }
        nonmutating set { pointer.pointee.model = newValue ?? UInt32.max }
    }
    /// Index into the model's versions; nil: not decided.
    @inlinable public var version: Int? {
        get { ModelID.optional(pointer.pointee.version).map { Int($0) } }
        nonmutating set { pointer.pointee.version = newValue.map { UInt32(truncatingIfNeeded: $0) } ?? UInt32.max }
    }
    /// Id of the pool; nil: the version's own.
    @inlinable public var pool: UInt32? {
        get { ModelID.optional(pointer.pointee.pool) }
        nonmutating set { pointer.pointee.pool = newValue ?? UInt32.max }
    }
    /// 0 (highest) to 9; greater values are cut.
    @inlinable public var priority: UInt32 {
        get { pointer.pointee.priority }
        nonmutating set { pointer.pointee.priority = min(newValue, 9) }
    }
    /// Nanoseconds of the monotonic clock.
    @inlinable public var deadline: UInt64 {
        get { pointer.pointee.deadline_ns }
        nonmutating set { pointer.pointee.deadline_ns = newValue }
    }
}

/// Decides model, version, pool, priority and deadline of a request.
public protocol Router: PluginExtension, ~Copyable {
    /// On the worker. Throws `notFound` when there is no such version.
    mutating func route(
        _ request: Request, _ decision: RouteDecision, exchange: Exchange
    ) throws(PluginError) -> RouterVerdict
}

/// The C functions of a router's table.
enum RouterTable {
    typealias Box = InstanceBox<any (Router & ~Copyable).Type>
    nonisolated(unsafe) static var type: (any (Router & ~Copyable).Type)?

    static func make() -> sluice_router {
        var table = sluice_router()
        table.base = instanceHead(
            tableSize: MemoryLayout<sluice_router>.size, instancing: type?.instancing,
            create: { host, arguments, instance in
                createInstance(host, arguments, instance, RouterTable.type, RouterTable.type)
            },
            destroy: { instance in Box.destroy(instance) })
        table.route = { instance, exchange, request, decision in
            let box = Box.at(instance)
            return RouterTable.route(
                box.pointee.type, box.pointee.state, box.pointee.services, exchange, request, decision)
        }
        return table
    }

    @inline(__always)
    static func route<Extension: Router & ~Copyable>(
        _ type: Extension.Type, _ state: UnsafeMutableRawPointer, _ services: UnsafePointer<HostServices>,
        _ exchange: OpaquePointer?, _ request: UnsafePointer<sluice_request>?,
        _ decision: UnsafeMutablePointer<sluice_route_decision>?
    ) -> sluice_status {
        do throws(PluginError) {
            return try state.assumingMemoryBound(to: Extension.self).pointee.route(
                Request(request.unsafelyUnwrapped), RouteDecision(decision.unsafelyUnwrapped),
                exchange: Exchange(exchange, services)
            ).rawValue
        } catch { return error.report(services) }
    }
}
