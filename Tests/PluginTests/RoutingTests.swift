import SluiceABI
import SluiceHashing
import SluicePlugin
import SluiceRouting
import Testing

/// What SluiceRouting promises to plugins that decide where a request goes.
@Suite struct RoutingTests {
    static let keys = (0..<20_000).map { "user-\($0)" }

    private func hash(_ purpose: String, _ key: String) -> UInt64 {
        KeptText(key).withBytes { KeyHash(purpose).hash($0) }
    }

    private func choices(_ weights: [(String, Double)]) throws -> [Int] {
        let choice = try #require(WeightedChoice(weights.map { (name: $0.0, weight: $0.1) }))
        return Self.keys.map { choice.index(for: hash("test", $0)) }
    }

    /// Stays the same for ever: a change would move every user of every deployment.
    @Test func hashesAreThoseOfTheFirstRelease() {
        #expect(hash("canary", "user-1") == 8_626_179_638_149_149_937)
        #expect(KeyHash("canary", "iris").hash(Bytes("user-1")) == 5_445_736_689_105_422_936)
        #expect(KeyHash("ab", "c").hash(Bytes()) != KeyHash("a", "bc").hash(Bytes()))
    }

    @Test func aHashAsANumberIsBetweenZeroAndOne() {
        #expect(KeyHash.unit(0) > 0)
        #expect(KeyHash.unit(UInt64.max) < 1)
    }

    /// Within four standard deviations of a binomial distribution.
    @Test(arguments: [[1.0, 99], [10, 90], [50, 50], [1, 2, 3, 4], [0, 1, 1, 0], [0.5, 0.25, 0.25]])
    func eachHasTheShareOfItsWeight(weights: [Double]) throws {
        let total = weights.reduce(0, +)
        let named = weights.enumerated().map { ("v\($0.offset)", $0.element) }
        let sticky = try choices(named)
        let choice = try #require(WeightedChoice(named.map { (name: $0.0, weight: $0.1) }))
        var draw = SplitMix64(seed: 42)
        let spread = Self.keys.map { _ in choice.index(drawn: draw.next()) }
        for chosen in [sticky, spread] {
            for (index, weight) in weights.enumerated() {
                let share = weight / total
                let count = Double(chosen.count { $0 == index })
                let expected = share * Double(chosen.count)
                let deviation = (expected * (1 - share)).squareRoot()
                #expect(abs(count - expected) <= 4 * deviation, "\(weights): \(index) has \(count)")
            }
        }
    }

    /// "No user who was on the new version goes back", and nobody else moves.
    @Test func whenOneGrowsKeysMoveToItAlone() throws {
        let weights: [Double] = [0, 1, 5, 10, 25, 50, 75, 90, 99, 100]
        var before = try choices([("old", 100), ("new", 0)])
        for weight in weights {
            let after = try choices([("old", 100 - weight), ("new", weight)])
            for (old, new) in zip(before, after) where old != new { #expect(new == 1) }
            before = after
        }
        #expect(before.allSatisfy { $0 == 1 })
        // The same with others beside it: none of those gains or loses to another.
        var three = try choices([("a", 3), ("b", 2), ("c", 1)])
        for weight in [2.0, 3, 10, 100] {
            let after = try choices([("a", 3), ("b", 2), ("c", weight)])
            for (old, new) in zip(three, after) where old != new { #expect(new == 2) }
            #expect(three != after)
            three = after
        }
    }

    @Test func aVersionThatComesOrGoesMovesItsOwnKeysAlone() throws {
        let two = try choices([("a", 1), ("b", 1)])
        let three = try choices([("a", 1), ("b", 1), ("c", 1)])
        for (old, new) in zip(two, three) where old != new { #expect(new == 2) }
        // Names count, not places in the file.
        let turned = try choices([("c", 1), ("b", 1), ("a", 1)])
        #expect(zip(three, turned).allSatisfy { $0 == 2 - $1 })
    }

    @Test func nothingCanBeChosenWithoutWeight() {
        #expect(WeightedChoice([]) == nil)
        #expect(WeightedChoice([("a", 0), ("b", 0)]) == nil)
        #expect(WeightedChoice([("a", 0), ("b", 1)])?.index(for: 7) == 1)
    }

    @Test func aTableFindsItsTexts() {
        var table = TextTable()
        for index in 0..<500 {
            let isNew = table.add("tenant-\(index)", index: index)
            #expect(isNew)
        }
        let isNew = table.add("tenant-7", index: 9)
        #expect(!isNew)
        #expect(table.count == 500)
        for index in 0..<500 { #expect(KeptText("tenant-\(index)").withBytes { table.find($0) } == index) }
        for other in ["", "tenant-500", "tenant", "TENANT-1"] {
            #expect(KeptText(other).withBytes { table.find($0) } == nil)
        }
    }
}
