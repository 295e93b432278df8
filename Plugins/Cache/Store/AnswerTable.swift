import Glibc
import SluiceHashing
import SluicePlugin

/// Kept answers by their keys, within a bound of entries and one of bytes, with SIEVE to say which goes. An entry is
/// found by the SHA-256 of its key and then compared with the whole key. One thread at a time.
public struct AnswerTable: ~Copyable {
    /// When an answer may be used. Times are nanoseconds of the monotonic clock.
    public struct Lifetime: BitwiseCopyable {
        /// It is found for this one alone.
        public var epoch: UInt64
        public var stored: UInt64
        /// Seconds that it was old then.
        public var initialAge: UInt64
        /// From then on it is found only by who takes a stale one.
        public var staleAt: UInt64
        /// From then on it is not found at all.
        public var end: UInt64

        public init(epoch: UInt64, stored: UInt64, initialAge: UInt64, staleAt: UInt64, end: UInt64) {
            self.epoch = epoch
            self.stored = stored
            self.initialAge = initialAge
            self.staleAt = staleAt
            self.end = end
        }
    }

    /// What is found: views that end with the next change of the table.
    public struct Found {
        /// Aligned to 16.
        public let answer: Bytes
        let lifetime: Lifetime
        /// It is used only where there is no other.
        public let isStale: Bool

        /// Seconds that it is old at `now`.
        public func age(_ now: UInt64) -> UInt64 { lifetime.initialAge + (now - lifetime.stored) / 1_000_000_000 }
    }

    private struct Entry {
        /// The key, padded to 16, then the answer.
        var block: UnsafeMutablePointer<UInt8>?
        var keySize = 0
        var answerSize = 0
        var lifetime = Lifetime(epoch: 0, stored: 0, initialAge: 0, staleAt: 0, end: 0)

        var answerOffset: Int { (keySize + 15) & ~15 }
        var size: Int { answerOffset + answerSize }
    }

    /// What an entry takes beside its block: its row here and in the index.
    public static let overhead = 128

    private var index: SieveTable
    private let entries: UnsafeMutablePointer<Entry>
    private let bytesAtMost: Int
    /// Of all entries, overhead included.
    public private(set) var bytes = 0
    public private(set) var evictions = 0

    public var count: Int { index.count }

    public init(entries: Int, bytes: Int) {
        var generator = SystemRandomNumberGenerator()
        index = SieveTable(capacity: entries, seed: generator.next())
        self.entries = .allocate(capacity: entries)
        self.entries.initialize(repeating: Entry(), count: entries)
        bytesAtMost = bytes
    }

    deinit {
        for slot in 0..<index.capacity { entries[slot].block?.deallocate() }
        entries.deallocate()
    }

    /// The answer for `key`, when there is one that has not ended, and is not stale unless `orStale`. One of another
    /// epoch has ended, too.
    public mutating func find(
        _ digest: Digest256, _ key: Bytes, epoch: UInt64 = 0, now: UInt64, orStale: Bool = false
    ) -> Found? {
        guard let slot = index.find(digest) else { return nil }
        let entry = entries[slot]
        guard let block = entry.block, entry.keySize == key.count, let asked = key.raw.data,
            memcmp(block, asked, key.count) == 0
        else { return nil }
        guard now < entry.lifetime.end, epoch == entry.lifetime.epoch else {
            remove(slot)
            return nil
        }
        let isStale = now >= entry.lifetime.staleAt
        guard orStale || !isStale else { return nil }
        return Found(
            answer: Bytes(UnsafeRawBufferPointer(start: block + entry.answerOffset, count: entry.answerSize)),
            lifetime: entry.lifetime, isStale: isStale)
    }

    /// Keeps an answer in place of one with the same key. False when it is larger than the whole bound.
    /// - Parameter write: writes the answer's `answerSize` bytes.
    public mutating func insert(
        _ digest: Digest256, _ key: Bytes, _ lifetime: Lifetime, answerSize: Int,
        _ write: (UnsafeMutablePointer<UInt8>) -> Void
    ) -> Bool {
        var entry = Entry(block: nil, keySize: key.count, answerSize: answerSize, lifetime: lifetime)
        let needed = entry.size + Self.overhead
        guard needed <= bytesAtMost else { return false }
        if let slot = index.find(digest) { remove(slot) }
        while bytes > bytesAtMost - needed || index.count == index.capacity {
            guard let slot = index.evict() else { return false }
            evictions += 1
            release(slot)
        }
        guard let slot = index.insert(digest) else { return false }
        // Beside the backend's work for this answer a block from the system costs nothing, and it is no larger than the
        // answer: the host's buffers come in sizes of which the next is sixteen times the last.
        let memory = UnsafeMutableRawPointer.allocate(byteCount: entry.size, alignment: 16)
        let block = memory.bindMemory(to: UInt8.self, capacity: entry.size)
        if let source = key.raw.data { block.update(from: source, count: key.count) }
        write(block + entry.answerOffset)
        entry.block = block
        entries[slot] = entry
        bytes += needed
        return true
    }

    private mutating func remove(_ slot: Int) {
        index.remove(slot: slot)
        release(slot)
    }

    private mutating func release(_ slot: Int) {
        bytes -= entries[slot].size + Self.overhead
        entries[slot].block?.deallocate()
        entries[slot] = Entry()
    }
}
