import Glibc
import Synchronization

/// A run of 64-bit counters in memory of its own, mapped once and never given back while the registry lives.
///
/// One thread writes a run and any thread reads it, so that an addition is a relaxed load and a relaxed store: no lock
/// prefix and no shared cache line. Pages that nobody wrote cost no memory, which is why every table of a run can be
/// laid out at its bound.
struct MetricCells: @unchecked Sendable {
    let base: UnsafeMutablePointer<Atomic<UInt64>>

    /// Maps `count` cells, all zero. Nil when the kernel refuses.
    init?(count: Int) {
        let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
        guard
            let memory = mmap(nil, count * MemoryLayout<UInt64>.stride, PROT_READ | PROT_WRITE, flags, -1, 0),
            memory != MAP_FAILED
        else { return nil }
        base = memory.bindMemory(to: Atomic<UInt64>.self, capacity: count)
    }

    func unmap(count: Int) {
        munmap(base, count * MemoryLayout<UInt64>.stride)
    }

    /// Readable on any thread.
    @inline(__always)
    subscript(index: Int) -> UInt64 {
        base[index].load(ordering: .relaxed)
    }

    /// Only on the thread that owns the run. Wraps: a gauge is a sum of signed steps over all runs.
    @inline(__always)
    func add(_ amount: UInt64, at index: Int) {
        base[index].store(base[index].load(ordering: .relaxed) &+ amount, ordering: .relaxed)
    }

    /// Only on the thread that owns the run.
    @inline(__always)
    func set(_ value: UInt64, at index: Int) {
        base[index].store(value, ordering: .relaxed)
    }
}
