import SluiceABI
import Synchronization

/// What outlives a reload: blocks of memory that the host keeps by name for the plugin, the same for every instance of
/// every generation. Legal in `init` only.
public struct StateBlocks {
    let services: UnsafePointer<HostServices>

    /// `count` counters under `name`, zero when they are new. All who ask with the same name and count share them.
    public func counters(_ name: String, count: Int) throws(PluginError) -> SharedCounters {
        let stride = MemoryLayout<Atomic<UInt64>>.stride
        guard count > 0, count <= SharedCounters.limit else {
            throw PluginError(.invalidArgument, "a state block holds 1 to 131072 counters")
        }
        let block = try memory(name, bytes: count * stride)
        return SharedCounters(start: block.bindMemory(to: Atomic<UInt64>.self, capacity: count), count: count)
    }

    /// `bytes` of memory (1 to 1 MiB) under `name`, zeroed when it is new and aligned to 64 bytes, which the host never
    /// frees. All who ask with the same name and size share it, from many threads: what lies in it must be atomic.
    public func memory(_ name: String, bytes: Int) throws(PluginError) -> UnsafeMutableRawPointer {
        var name = name
        let block = name.withUTF8 {
            services.pointee.state.pointee.block.unsafelyUnwrapped(
                services.pointee.context, Bytes(UnsafeRawBufferPointer($0)).raw, bytes)
        }
        guard let block else {
            throw PluginError(
                .resourceExhausted,
                """
                the bound of 256 state blocks of one entry of `plugins` is reached; give some of the models a second \
                entry of this plugin, or restart the gateway when most are of models that are gone
                """)
        }
        return block
    }
}

/// Counters that workers and generations share: 64-bit atomics in the host's memory, which it never frees.
@frozen
public struct SharedCounters: @unchecked Sendable {
    /// A block holds at most 1 MiB.
    public static var limit: Int { 131_072 }

    @usableFromInline let start: UnsafeMutablePointer<Atomic<UInt64>>
    public let count: Int

    @usableFromInline
    init(start: UnsafeMutablePointer<Atomic<UInt64>>, count: Int) {
        self.start = start
        self.count = count
    }

    @inlinable
    func counter(_ index: Int) -> UnsafeMutablePointer<Atomic<UInt64>> {
        precondition(UInt(bitPattern: index) < UInt(bitPattern: count), "index out of the counters")
        return start + index
    }

    @inlinable
    public func load(_ index: Int) -> UInt64 { counter(index).pointee.load(ordering: .acquiring) }

    @inlinable
    public func store(_ index: Int, _ value: UInt64) { counter(index).pointee.store(value, ordering: .releasing) }

    /// Adds with wrap-around and returns the new value.
    @inlinable @discardableResult
    public func add(_ index: Int, _ amount: UInt64 = 1) -> UInt64 {
        counter(index).pointee.wrappingAdd(amount, ordering: .acquiringAndReleasing).newValue
    }

    /// Puts `desired` in place of `expected`; returns what was found, equal to `expected` when it was put.
    @inlinable
    public func exchange(_ index: Int, expected: UInt64, desired: UInt64) -> UInt64 {
        counter(index).pointee.compareExchange(
            expected: expected, desired: desired, ordering: .acquiringAndReleasing
        ).original
    }
}
