import SluiceHashing
import Testing

/// How many keys change their owner when one of a pool leaves, against the least that must: those which it had.
@Suite struct MovementTests {
    static let keys = 100_000

    /// Owners of the keys before and after owner `gone` has left a pool of `count`, each as an index of the whole pool.
    static func moved(_ count: Int, gone: Int, before: (UInt64) -> Int, after: (UInt64) -> Int) -> Double {
        var draw = SplitMix64(seed: 99)
        var moved = 0
        for _ in 0..<keys {
            let key = draw.next()
            let now = after(key)
            if before(key) != (now < gone ? now : now + 1) { moved += 1 }
        }
        return Double(moved) * Double(count) / Double(keys)
    }

    @Test(arguments: [10, 50, 200]) func ofTheRing(count: Int) {
        let names = Vectors.names(count)
        var left = names
        left.remove(at: count / 2)
        let ring = KetamaRing(names: names, weights: Array(repeating: 1, count: count))
        let smaller = KetamaRing(names: left, weights: Array(repeating: 1, count: count - 1))
        let ratio = Self.moved(count, gone: count / 2, before: { ring.owner(of: $0) }, after: { smaller.owner(of: $0) })
        #expect((0.5...1.2).contains(ratio), "\(ratio) of the ideal")
    }

    @Test func keysOfOthersStayOnTheRing() {
        let names = Vectors.names(20)
        let ring = KetamaRing(names: names, weights: Array(repeating: 1, count: 20))
        let smaller = KetamaRing(names: Array(names.dropLast()), weights: Array(repeating: 1, count: 19))
        var draw = SplitMix64(seed: 4)
        for _ in 0..<Self.keys {
            let key = draw.next()
            let owner = ring.owner(of: key)
            if owner != 19 { #expect(smaller.owner(of: key) == owner) }
        }
    }
}

@Suite struct RendezvousTests {
    @Test func onlyKeysOfTheOneThatLeavesMove() {
        let identities = (0..<130).map { XXHash64.hash(UInt64($0)) }
        let all: [UInt64] = [.max, .max, 3]
        let without: [UInt64] = [.max & ~(1 << 5), .max, 3]
        var seen = [Int](repeating: 0, count: 130)
        var draw = SplitMix64(seed: 2)
        for _ in 0..<26_000 {
            let key = draw.next()
            let first = Rendezvous.owner(of: key, among: identities, count: 130, eligible: all) ?? -1
            let second = Rendezvous.owner(of: key, among: identities, count: 130, eligible: without) ?? -1
            seen[first] += 1
            if first == 5 { #expect(second != 5) } else { #expect(second == first) }
        }
        #expect(seen.allSatisfy { (120...280).contains($0) }, "\(seen)")
    }

    @Test func nobodyIsNobody() {
        #expect(Rendezvous.owner(of: 1, among: [1, 2], count: 2, eligible: [0]) == nil)
        #expect(Rendezvous.owner(of: 1, among: [1, 2], count: 2, eligible: [2]) == 1)
    }
}

@Suite struct BoundedLoadsTests {
    @Test func capacityIsTheCeilingOfTheShare() {
        var loads = BoundedLoads(weights: [1, 1, 1, 1], factor: 1.25)
        // One unit over four owners: nobody may have more than ceil(1.25 / 4).
        #expect((0..<4).map { loads.capacity($0) } == [1, 1, 1, 1])
        #expect(loads.hasRoom(0) == true)
        loads.note(0, load: 1)
        // ceil(1.25 * 2 / 4)
        #expect(loads.capacity(0) == 1)
        #expect(!loads.hasRoom(0) && loads.hasRoom(1))
        for (index, load) in [(0, UInt32(9)), (1, 5), (2, 5)] { loads.note(index, load: load) }
        // ceil(1.25 * 20 / 4)
        #expect(loads.capacity(0) == 7)
        #expect(!loads.hasRoom(0) && loads.hasRoom(1) && loads.hasRoom(3))
        loads.note(9, load: 100)
        #expect(loads.capacity(0) == 7)
    }

    @Test func weightsShareTheCapacity() {
        var loads = BoundedLoads(weights: [1, 3, 0], factor: 1)
        loads.note(0, load: 2)
        loads.note(1, load: 7)
        // 10 units over weights of 5 in all, 0 counting as 1.
        #expect((0..<3).map { loads.capacity($0) } == [2, 6, 2])
        #expect(!loads.hasRoom(0) && !loads.hasRoom(1) && loads.hasRoom(2))
    }

    @Test func thoseThatMayNotBeTakenDoNotCount() {
        var loads = BoundedLoads(weights: Array(repeating: 1, count: 70), factor: 1)
        for index in 0..<70 { loads.note(index, load: UInt32(index)) }
        loads.restrict(to: [0b110, 0b100000])
        // 1, 2 and 69, and one more: 73 / 3.
        #expect(loads.capacity(1) == 25)
        loads.note(0, load: 1_000)
        loads.note(69, load: 70)
        #expect(loads.capacity(1) == 25)
        loads.restrict(to: [0b111, 0b100000])
        // 1,000 + 1 + 2 + 70 + 1 over four.
        #expect(loads.capacity(1) == 269)
        loads.restrict(to: [UInt64.max, 0b111111])
        // 1,000 + 1 + … + 68 + 70 + 1 over 70: 3,417 / 70.
        #expect(loads.capacity(0) == 49)
    }

    /// The paper's promise: whatever keys come, nobody has more than the bound, and there is always room.
    @Test func nobodyIsOverItsBoundWhateverKeysCome() {
        let names = Vectors.names(30)
        let ring = KetamaRing(names: names, weights: Array(repeating: 1, count: 30))
        var loads = BoundedLoads(weights: Array(repeating: 1, count: 30), factor: 1.25)
        var placed = [UInt32](repeating: 0, count: 30)
        var draw = SplitMix64(seed: 6)
        for _ in 0..<3_000 {
            // Half of all requests are for one key.
            let key = draw.next() & 1 == 0 ? 0xABCD_0000_0000_0000 : draw.next()
            var place = ring.place(of: key)
            var steps = 0
            while !loads.hasRoom(ring.owner(at: place)), steps < ring.pointCount {
                place = ring.next(after: place)
                steps += 1
            }
            let owner = ring.owner(at: place)
            #expect(UInt64(placed[owner]) < loads.capacity(owner))
            placed[owner] += 1
            loads.note(owner, load: placed[owner])
        }
        let heaviest = placed.max() ?? 0
        #expect(heaviest <= 126, "\(heaviest), at most ceil(1.25 * 3000 / 30) and one for what comes later")
    }
}
