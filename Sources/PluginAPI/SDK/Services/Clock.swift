import SluiceABI

/// The host's clocks. Any thread.
@frozen
public struct Clock: @unchecked Sendable {
    @usableFromInline let services: UnsafePointer<HostServices>

    @inlinable
    init(services: UnsafePointer<HostServices>) { self.services = services }

    /// Nanoseconds of the clock that deadlines are in.
    @inlinable public var monotonic: UInt64 {
        services.pointee.clock.pointee.monotonic_ns.unsafelyUnwrapped(services.pointee.context)
    }

    /// Nanoseconds since 1970-01-01 UTC.
    @inlinable public var wall: UInt64 {
        services.pointee.clock.pointee.wall_ns.unsafelyUnwrapped(services.pointee.context)
    }
}
