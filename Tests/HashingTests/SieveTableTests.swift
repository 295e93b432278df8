import SluiceHashing
import Testing

@Suite struct SieveTableTests {
    /// The table behind a reference, which `#expect` may look at.
    private final class Table {
        private var table: SieveTable
        init(_ capacity: Int, seed: UInt64) { table = SieveTable(capacity: capacity, seed: seed) }
        func find(_ key: Digest256) -> Int? { table.find(key) }
        func insert(_ key: Digest256) -> Int? { table.insert(key) }
        func evict() -> Int? { table.evict() }
        func remove(slot: Int) { table.remove(slot: slot) }
        func isTaken(slot: Int) -> Bool { table.isTaken(slot: slot) }
        var count: Int { table.count }
    }

    private static func key(_ value: UInt64) -> Digest256 {
        var random = SplitMix64(seed: value)
        var key = Digest256()
        key.first = random.next()
        key.fourth = value
        return key
    }

    /// The paper's figure 3, in short: what was asked for is spared once, and keeps its place.
    @Test func theHandSparesWhatWasAskedFor() {
        let table = Table(4, seed: 1)
        let slots = (0..<4).map { table.insert(Self.key($0)) }
        #expect(Set(slots.compactMap { $0 }).count == 4)
        #expect(table.insert(Self.key(9)) == nil)
        // 0 is the oldest; 0 and 2 are asked for.
        #expect(table.find(Self.key(0)) == slots[0])
        #expect(table.find(Self.key(2)) == slots[2])
        #expect(table.evict() == slots[1])
        #expect(table.insert(Self.key(4)) != nil)
        // The hand stands at 2: spared, then 3 goes, though 0 is older.
        #expect(table.evict() == slots[3])
        #expect(table.find(Self.key(0)) == slots[0])
        #expect(table.find(Self.key(2)) == slots[2])
        // On from 4, the newest, which nobody asked for.
        #expect(table.evict() != nil)
        #expect(table.find(Self.key(4)) == nil)
        #expect(table.count == 2)
    }

    @Test func anEmptyTableHasNothingToEvict() {
        let table = Table(1, seed: 0)
        #expect(table.evict() == nil)
        #expect(table.find(Self.key(1)) == nil)
        #expect(table.insert(Self.key(1)) == 0)
        #expect(table.find(Self.key(1)) == 0)
        #expect(table.evict() == 0)
        #expect(table.count == 0)
        #expect(!table.isTaken(slot: 0))
    }

    /// Against a dictionary: what is there is found in its slot, also with homes that crowd together, after any order
    /// of insertions, evictions and removals.
    @Test(arguments: 0..<20) func itHoldsWhatItWasGiven(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        let capacity = 1 + Int(random.next() % 40)
        let table = Table(capacity, seed: seed)
        var held: [UInt64: Int] = [:]
        for _ in 0..<4_000 {
            let name = random.next() % 80
            var key = Self.key(name)
            // A few homes for all.
            key.first = (name % 5) << 60
            if let slot = held[name] {
                if random.next() % 4 == 0 {
                    table.remove(slot: slot)
                    held[name] = nil
                } else {
                    #expect(table.find(key) == slot)
                }
                continue
            }
            #expect(table.find(key) == nil)
            if table.count == capacity {
                let slot = table.evict()
                let gone = held.filter { $0.value == slot }
                #expect(gone.count == 1)
                for name in gone.keys { held[name] = nil }
            }
            held[name] = table.insert(key)
            #expect(held[name] != nil)
            #expect(table.count == held.count)
        }
    }

    /// What is asked for once does not push out what is asked for again and again (the paper's section 3).
    @Test func aScanLeavesThePopular() {
        let table = Table(100, seed: 7)
        for name in 0..<50 as Range<UInt64> { _ = table.insert(Self.key(name)) }
        var hits = 0
        for round in 0..<100 as Range<UInt64> {
            for name in 0..<50 as Range<UInt64> {
                if table.find(Self.key(name)) != nil { hits += 1 }
                let other = Self.key(1_000 + round * 50 + name)
                if table.count == 100 { _ = table.evict() }
                _ = table.insert(other)
            }
        }
        #expect(hits == 5_000)
    }
}
