import SluiceABI

/// The host's counted buffers: memory that outlives a call and an exchange, may be shared by several exchanges, and
/// becomes a body without a copy.
@frozen
public struct Buffers: @unchecked Sendable {
    @usableFromInline let services: UnsafePointer<HostServices>

    @inlinable
    init(services: UnsafePointer<HostServices>) { self.services = services }

    /// A buffer of at least `capacity` bytes, not zeroed. Throws when the bound on all of them, 1 GiB, is reached. Any
    /// thread.
    @inlinable
    public func make(capacity: Int) throws(PluginError) -> CountedBuffer {
        guard capacity >= 0,
            let raw = services.pointee.memory.pointee.buffer_new.unsafelyUnwrapped(services.pointee.context, capacity)
        else { throw PluginError(.resourceExhausted, "the bound on counted buffers is reached") }
        return CountedBuffer(raw, services)
    }
}

/// One reference to a counted buffer; the host takes the buffer back with the last one. Must not outlive the instance
/// whose services made it. What is written must be seen by whoever reads it on another thread: that is the plugin's to
/// order.
@frozen
public struct CountedBuffer: ~Copyable, @unchecked Sendable {
    @usableFromInline let raw: UnsafeMutablePointer<sluice_buffer>
    @usableFromInline let services: UnsafePointer<HostServices>

    @inlinable
    init(_ raw: UnsafeMutablePointer<sluice_buffer>, _ services: UnsafePointer<HostServices>) {
        self.raw = raw
        self.services = services
    }

    @inlinable
    deinit { services.pointee.memory.pointee.buffer_release.unsafelyUnwrapped(services.pointee.context, raw) }

    /// In bytes.
    @inlinable public var capacity: Int { raw.pointee.capacity }

    /// All its bytes, to write and to read; valid while a reference lives.
    @inlinable public var memory: MutableView<UInt8> {
        MutableView(start: raw.pointee.data, count: raw.pointee.capacity)
    }

    /// One more reference to the same bytes. Any thread.
    @inlinable
    public func share() -> CountedBuffer {
        services.pointee.memory.pointee.buffer_retain.unsafelyUnwrapped(services.pointee.context, raw)
        return CountedBuffer(raw, services)
    }

    /// Ends this value without giving its reference back: somebody else does.
    @inlinable
    consuming func handOver() -> UnsafeMutablePointer<sluice_buffer> {
        let raw = raw
        discard self
        return raw
    }
}

extension Exchange {
    /// Gives a reference to the exchange, which releases it when it ends.
    /// - Returns: the buffer's bytes, which bodies may now point into; they live until the exchange ends.
    @inlinable
    public func adopt(_ buffer: consuming CountedBuffer) -> Bytes {
        let bytes = buffer.memory.bytes
        services.pointee.memory.pointee.buffer_adopt.unsafelyUnwrapped(
            services.pointee.context, handle, buffer.handOver())
        return bytes
    }
}
