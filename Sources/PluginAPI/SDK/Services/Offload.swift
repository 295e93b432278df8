import SluiceABI

/// The host's small pool of threads for work that blocks.
@frozen
public struct Offload: @unchecked Sendable {
    @usableFromInline let services: UnsafePointer<HostServices>

    @inlinable
    init(services: UnsafePointer<HostServices>) { self.services = services }

    /// Runs `work` on a thread of the pool. Allocates for the closure: not for each request. False when the queue of
    /// 1024 is full; then `work` is never called. Any thread.
    public func run(_ work: @escaping @Sendable () -> Void) -> Bool {
        let box = Unmanaged.passRetained(OffloadedWork(work))
        let status = services.pointee.offload.pointee.run.unsafelyUnwrapped(
            services.pointee.context,
            { user in
                guard let user else { return }
                Unmanaged<OffloadedWork>.fromOpaque(user).takeRetainedValue().work()
            }, box.toOpaque())
        if status < 0 { box.release() }
        return status >= 0
    }
}

final class OffloadedWork {
    let work: @Sendable () -> Void
    init(_ work: @escaping @Sendable () -> Void) { self.work = work }
}
