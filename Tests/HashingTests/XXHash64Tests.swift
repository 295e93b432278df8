import SluiceHashing
import Testing

@Suite struct XXHash64Tests {
    /// Known answers that its bindings publish (python-xxhash, README; seed 20141025 likewise).
    @Test func publishedAnswers() {
        #expect(hash("") == 0xef46_db37_51d8_e999)
        #expect(hash("a") == 0xd24e_c4f1_a98c_6e5b)
        #expect(hash("abc") == 0x44bc_2cf5_ad77_0999)
        #expect(hash("Nobody inspects the spammish repetition") == 0xfbce_a83c_8a37_8bf1)
        #expect(hash("a", seed: 20_141_025) == 0x9fe3_ce22_1f1d_d34a)
    }

    @Test func agreesWithTheReferenceAtEveryLength() throws {
        let lines = try Vectors.lines("xxh64")
        #expect(lines.count == 46)
        for line in lines {
            let bytes = (0..<(Int(line[1]) ?? 0)).map { UInt8(truncatingIfNeeded: $0 * 37 + 11) }
            let (plain, seeded) = bytes.withUnsafeBytes {
                (XXHash64.hash($0), XXHash64.hash($0, seed: 0x9E37_79B9_7F4A_7C15))
            }
            #expect(hexadecimal(plain) == line[2], "\(line[1]) bytes")
            #expect(hexadecimal(seeded) == line[3], "\(line[1]) bytes, with a seed")
        }
    }

    @Test func doesNotMindWhereBytesLie() {
        let bytes = [UInt8](0..<80)
        bytes.withUnsafeBytes { all in
            for start in 1..<8 {
                let copy = Array(all[start..<(start + 71)])
                let there = XXHash64.hash(UnsafeRawBufferPointer(rebasing: all[start..<(start + 71)]))
                #expect(copy.withUnsafeBytes { XXHash64.hash($0) } == there)
            }
        }
    }

    @Test func aWordIsItsEightBytes() {
        for word: UInt64 in [0, 1, 0x0102_0304_0506_0708, .max] {
            let bytes = (0..<8).map { UInt8(truncatingIfNeeded: word >> UInt64(8 * $0)) }
            #expect(XXHash64.hash(word, seed: 5) == bytes.withUnsafeBytes { XXHash64.hash($0, seed: 5) })
        }
    }
}

@Suite struct DrawTests {
    /// The first numbers of SplitMix64 from the seed 1234567, as implementations publish them (Rosetta Code,
    /// "Pseudo-random numbers/Splitmix64").
    @Test func publishedSequence() {
        var draw = SplitMix64(seed: 1_234_567)
        let expected: [UInt64] = [
            6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423,
            4_593_380_528_125_082_431, 16_408_922_859_458_223_821,
        ]
        #expect((0..<5).map { _ in draw.next() } == expected)
    }

    @Test func staysBelowItsBoundAndReachesAll() {
        var draw = SplitMix64(seed: 1)
        var seen = [Int](repeating: 0, count: 7)
        for _ in 0..<7_000 { seen[draw.below(7)] += 1 }
        #expect(seen.allSatisfy { (850...1_150).contains($0) }, "\(seen)")
        #expect(draw.below(0) == 0)
        #expect((0..<1_000).allSatisfy { _ in (0..<1).contains(draw.fraction()) })
    }

    @Test func drawsInProportion() {
        let table = AliasTable(weights: [1, 0, 2, 3, 10])
        var draw = SplitMix64(seed: 3)
        var seen = [Int](repeating: 0, count: 5)
        for _ in 0..<160_000 { seen[table.draw(&draw)] += 1 }
        #expect(seen[1] == 0)
        for (index, weight) in [(0, 1), (2, 2), (3, 3), (4, 10)] {
            #expect(abs(seen[index] - weight * 10_000) < 400 + weight * 60, "\(seen)")
        }
    }

    @Test func weightsOfZeroAreAllAlike() {
        let table = AliasTable(weights: [0, 0, 0, 0])
        var draw = SplitMix64(seed: 3)
        var seen = [Int](repeating: 0, count: 4)
        for _ in 0..<4_000 { seen[table.draw(&draw)] += 1 }
        #expect(seen.allSatisfy { $0 > 850 }, "\(seen)")
        #expect(AliasTable(weights: []).draw(&draw) == 0)
        #expect(AliasTable(weights: [9]).draw(&draw) == 0)
    }
}
