import SluiceHashing
import Testing

@Suite struct KetamaRingTests {
    static func ring(_ line: [String]) -> KetamaRing {
        KetamaRing(
            names: Vectors.names(Int(line[2]) ?? 0), weights: line[3].split(separator: ",").map { UInt32($0) ?? 0 })
    }

    @Test func everyPointIsTheReferences() throws {
        let lines = try Vectors.lines("ring")
        #expect(lines.count == 4)
        for line in lines {
            let ring = Self.ring(line)
            #expect(ring.pointCount == Int(line[4]), "\(line[1])")
            var text = ""
            for place in 0..<ring.pointCount { text += "\(ring.point(at: place)) \(ring.owner(at: place))\n" }
            #expect(hexadecimal(hash(text)) == line[5], "\(line[1])")
        }
    }

    @Test func everyKeyHasTheReferencesOwner() throws {
        let owners = try Vectors.lines("owner")
        #expect(owners.count == 80)
        for line in try Vectors.lines("ring") {
            let ring = Self.ring(line)
            for owner in owners where owner[1] == line[1] {
                #expect(ring.owner(of: hash(owner[2])) == Int(owner[3]), "\(line[1]) \(owner[2])")
            }
        }
    }

    @Test func placesGoAround() {
        let ring = KetamaRing(names: Vectors.names(3), weights: [1, 1, 1])
        let last = ring.pointCount - 1
        #expect(ring.place(at: 0) == 0)
        #expect(ring.place(at: ring.point(at: 0)) == 0)
        #expect(ring.place(at: ring.point(at: 0) + 1) == 1)
        #expect(ring.place(at: ring.point(at: last)) == last)
        #expect(ring.place(at: ring.point(at: last) + 1) == 0)
        #expect(ring.next(after: last) == 0)
        for place in 1..<ring.pointCount { #expect(ring.point(at: place - 1) <= ring.point(at: place)) }
    }

    @Test func sharesFollowWeights() {
        let ring = KetamaRing(names: Vectors.names(10), weights: [1, 1, 1, 1, 1, 1, 1, 1, 1, 11], pointsPerOwner: 400)
        var draw = SplitMix64(seed: 8)
        var last = 0
        for _ in 0..<100_000 where ring.owner(of: draw.next()) == 9 { last += 1 }
        #expect((50_000...60_000).contains(last), "\(last)")
    }

    @Test func anEmptyRingHasNoPoint() {
        let ring = KetamaRing(names: [], weights: [])
        #expect(ring.pointCount == 0)
        #expect(ring.owner(of: 12_345) == 0)
        #expect(ring.next(after: 0) == 0)
    }

    @Test func pointsAreBounded() {
        let ring = KetamaRing(
            names: Vectors.names(4_096), weights: Array(repeating: 0, count: 4_096), pointsPerOwner: 9_999)
        #expect(ring.pointCount == KetamaRing.pointsAtMost)
    }
}

@Suite struct MaglevTableTests {
    @Test func everyEntryIsTheReferences() throws {
        let lines = try Vectors.lines("maglev")
        #expect(lines.count == 3)
        for line in lines {
            let table = MaglevTable(
                names: Vectors.names(Int(line[2]) ?? 0), weights: line[3].split(separator: ",").map { UInt32($0) ?? 0 },
                size: Int(line[4]) ?? 0)
            #expect(table.size == Int(line[4]))
            let text = (0..<table.size).map { "\(table.owner(at: $0))\n" }.joined()
            #expect(hexadecimal(hash(text)) == line[5], "\(line[1])")
        }
    }

    @Test func sharesAreEven() {
        let table = MaglevTable(names: Vectors.names(100), weights: Array(repeating: 3, count: 100))
        var seen = [Int](repeating: 0, count: 100)
        for place in 0..<table.size { seen[table.owner(at: place)] += 1 }
        // All have had the same number of turns, but for the last round.
        #expect(seen.allSatisfy { $0 == 655 || $0 == 656 }, "\(seen)")
    }

    @Test func orderOfOwnersDoesNotMatter() {
        let names = Vectors.names(20)
        let table = MaglevTable(names: names, weights: Array(repeating: 1, count: 20), size: 1_009)
        let turned = MaglevTable(names: names.reversed(), weights: Array(repeating: 1, count: 20), size: 1_009)
        for place in 0..<1_009 { #expect(table.owner(at: place) == 19 - turned.owner(at: place)) }
    }

    @Test func sizesBecomePrime() {
        #expect(MaglevTable(names: Vectors.names(3), weights: [1, 1, 1], size: 100).size == 101)
        #expect(MaglevTable(names: Vectors.names(12), weights: Array(repeating: 1, count: 12), size: 2).size == 13)
        #expect(MaglevTable(names: [], weights: []).size == 0)
        #expect(MaglevTable(names: [], weights: []).owner(of: 99) == 0)
        #expect(MaglevTable.isPrime(65_537) && MaglevTable.isPrime(MaglevTable.sizeAtMost))
        #expect(![0, 1, 4, 9, 65_535].contains { MaglevTable.isPrime($0) })
    }

    @Test func placesReachAllEntries() {
        let table = MaglevTable(names: Vectors.names(3), weights: [1, 1, 1], size: 13)
        #expect(table.place(of: 0) == 0)
        #expect(table.place(of: .max) == 12)
        #expect(table.next(after: 12) == 0)
    }
}
