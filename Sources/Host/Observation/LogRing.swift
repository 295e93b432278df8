import Glibc
import Synchronization

/// A bounded queue of log records of any size: many threads put, one takes. Nobody waits for anybody; a record that
/// finds no room is dropped and counted.
///
/// The bytes are a ring in which positions only grow. A putter reserves its place by moving `head`, fills it in, and
/// publishes it by writing the record's first word, which is zero until then. The taker zeroes a record's bytes before
/// it moves `tail`, so that the first word of whatever comes there next is zero again.
final class LogRing: @unchecked Sendable {
    /// Records are at most this long; what a caller wants to log beyond it is cut. An access log's line with a long
    /// path fits, and a putter that was interrupted in the middle holds back little.
    static let longestRecord = 8_192

    /// The bytes of a ring that has room for at least `bytes`, which are at most 2^62.
    static func capacity(of bytes: Int) -> Int {
        let least = max(bytes, 2 * longestRecord)
        return 1 << (Int.bitWidth - (least - 1).leadingZeroBitCount)
    }

    private let memory: UnsafeMutableRawPointer
    private let capacity: UInt64
    private let head = Atomic<UInt64>(0)
    private let tail = Atomic<UInt64>(0)
    private let droppedRecords = Atomic<UInt64>(0)
    /// Set by the taker before it sleeps.
    private let sleeping = Atomic<Bool>(false)

    /// - Parameter capacity: a power of two, at least twice `longestRecord`.
    init(capacity: Int) {
        precondition(capacity >= 2 * Self.longestRecord && capacity & (capacity - 1) == 0)
        self.capacity = UInt64(capacity)
        memory = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 64)
        memset(memory, 0, capacity)
    }

    deinit { memory.deallocate() }

    /// Records that found no room.
    var dropped: UInt64 { droppedRecords.load(ordering: .relaxed) }

    var isEmpty: Bool { tail.load(ordering: .acquiring) == head.load(ordering: .acquiring) }

    /// Puts a record of `size` bytes that `fill` writes. [any]
    /// - Returns: whether the taker sleeps and has to be woken.
    func put(size: Int, fill: (UnsafeMutableRawBufferPointer) -> Void) -> Bool {
        guard size > 0, size <= Self.longestRecord else {
            droppedRecords.wrappingAdd(1, ordering: .relaxed)
            return false
        }
        // The first word: bytes of the place (a multiple of 8) above, bytes of the record below; 0 below for a gap.
        let place = UInt64(8 + (size + 7) & ~7)
        var begin: UInt64
        var gap: UInt64
        while true {
            // In this order: a head that is read after it is never behind the tail.
            let end = tail.load(ordering: .acquiring)
            begin = head.load(ordering: .relaxed)
            let room = capacity - (begin & (capacity - 1))
            gap = room < place ? room : 0
            if begin + gap + place - end > capacity {
                droppedRecords.wrappingAdd(1, ordering: .relaxed)
                return false
            }
            let (exchanged, _) = head.compareExchange(
                expected: begin, desired: begin + gap + place, ordering: .acquiringAndReleasing)
            if exchanged { break }
        }
        if gap > 0 { word(at: begin).pointee.store(gap << 32, ordering: .sequentiallyConsistent) }
        begin += gap
        let bytes = memory + Int(begin & (capacity - 1)) + 8
        fill(UnsafeMutableRawBufferPointer(start: bytes, count: size))
        // Sequentially consistent, as is what follows: either the taker sees this record before it sleeps, or we see
        // that it sleeps.
        word(at: begin).pointee.store(place << 32 | UInt64(size), ordering: .sequentiallyConsistent)
        return sleeping.load(ordering: .sequentiallyConsistent)
            && sleeping.exchange(false, ordering: .sequentiallyConsistent)
    }

    /// Takes the oldest record. Only on the taker's thread.
    /// - Returns: false when there is none.
    func take(_ body: (UnsafeRawBufferPointer) -> Void) -> Bool {
        var position = tail.load(ordering: .relaxed)
        while true {
            let first = word(at: position).pointee.load(ordering: .sequentiallyConsistent)
            if first == 0 { return false }
            let place = first >> 32
            let size = Int(first & 0xFFFF_FFFF)
            let begin = memory + Int(position & (capacity - 1))
            if size > 0 { body(UnsafeRawBufferPointer(start: begin + 8, count: size)) }
            memset(begin, 0, Int(place))
            position += place
            tail.store(position, ordering: .releasing)
            if size > 0 { return true }
        }
    }

    /// Announces that the taker is about to sleep. Only on the taker's thread.
    /// - Returns: false when a record came meanwhile: do not sleep.
    func prepareToSleep() -> Bool {
        sleeping.store(true, ordering: .sequentiallyConsistent)
        let position = tail.load(ordering: .relaxed)
        if word(at: position).pointee.load(ordering: .sequentiallyConsistent) == 0 { return true }
        sleeping.store(false, ordering: .sequentiallyConsistent)
        return false
    }

    private func word(at position: UInt64) -> UnsafeMutablePointer<Atomic<UInt64>> {
        (memory + Int(position & (capacity - 1))).assumingMemoryBound(to: Atomic<UInt64>.self)
    }
}
