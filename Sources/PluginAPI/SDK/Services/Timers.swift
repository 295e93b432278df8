import SluiceABI

/// The host's timers. Those of a shared instance fire on the first worker, whichever starts them.
@frozen
public struct Timers: @unchecked Sendable {
    @usableFromInline let services: UnsafePointer<HostServices>

    @inlinable
    init(services: UnsafePointer<HostServices>) { self.services = services }

    /// A timer that was started.
    @frozen
    public struct Timer: Equatable, Sendable {
        @usableFromInline let id: UInt64
        @inlinable
        init(id: UInt64) { self.id = id }
    }

    /// Calls `target.fire` on the instance's worker once, after `delay` nanoseconds (resolution 1 ms). Legal in `init`
    /// and on the worker. Nil when the bound of 1024 timers an instance is reached. The target must stay referenced by
    /// the plugin's struct until the timer has fired or was cancelled.
    public func start<Target: TimerTarget>(after delay: UInt64, _ target: Target) -> Timer? {
        let id = services.pointee.timer.pointee.start.unsafelyUnwrapped(
            services.pointee.context, delay,
            { user in
                guard let user else { return }
                Unmanaged<TimerTarget>.fromOpaque(user)._withUnsafeGuaranteedRef { $0.fire() }
            }, Unmanaged<TimerTarget>.passUnretained(target).toOpaque())
        return id == 0 ? nil : Timer(id: id)
    }

    /// Stops a timer; one that has fired is ignored. On the worker. A shared instance's may still fire after a call on
    /// another worker than the first: its target must stay referenced as long as the instance lives.
    public func cancel(_ timer: Timer) {
        services.pointee.timer.pointee.cancel.unsafelyUnwrapped(services.pointee.context, timer.id)
    }
}

/// What a timer calls: a class of the plugin that keeps what the struct and the timer share. Subclass it.
open class TimerTarget {
    public init() {}

    /// The timer came. On the instance's worker, which it must not block.
    open func fire() {}
}
