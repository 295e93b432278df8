import SluiceHashing
import Testing

@testable import Host

private struct Element: SlabElement {
    var slot: SlabSlot
    var mark = 0
    init(slot: SlabSlot) { self.slot = slot }
}

/// A slab that macros can look at: a noncopyable value they cannot.
private final class SlabUnderTest {
    private var slab: Slab<Element>

    init(bound: Int) { slab = Slab(bound: bound) }

    var inUse: Int { slab.inUse }
    var elements: [UnsafeMutablePointer<Element>] { slab.elements }
    func contains(_ mark: Int) -> Bool { slab.contains { $0.pointee.mark == mark } }
    func take() -> UnsafeMutablePointer<Element>? { slab.take() }
    func give(_ element: UnsafeMutablePointer<Element>) { slab.give(element) }
    func find(_ slot: SlabSlot) -> UnsafeMutablePointer<Element>? {
        slab.find(index: slot.index, generation: slot.generation)
    }
}

@Suite struct SlabTests {
    @Test(arguments: [0, 1, 10, 63, 64, 65, 200])
    func noMoreElementsThanTheBound(bound: Int) {
        let slab = SlabUnderTest(bound: bound)
        var taken: [UnsafeMutablePointer<Element>] = []
        while taken.count <= bound, let element = slab.take() { taken.append(element) }
        #expect(taken.count == bound)
        #expect(slab.take() == nil)
        #expect(Set(taken).count == bound)
        #expect(Set(taken.map(\.pointee.slot.index)) == Set(0..<UInt32(bound)))
        #expect(slab.inUse == bound)
        if let first = taken.first {
            slab.give(first)
            #expect(slab.take() == first)
            #expect(slab.take() == nil)
        }
    }

    @Test func aTokenFindsItsElementUntilThatIsGivenBack() throws {
        let slab = SlabUnderTest(bound: 100)
        let element = try #require(slab.take())
        element.pointee.mark = 5
        let former = element.pointee.slot
        #expect(slab.find(former) == element)
        slab.give(element)
        #expect(slab.find(former) == nil)
        // Not even by the generation that it has while it is free.
        #expect(slab.find(element.pointee.slot) == nil)
        let next = try #require(slab.take())
        #expect(next == element, "the test wants the same place")
        #expect(next.pointee.mark == 0, "a taken element is a fresh one")
        #expect(slab.find(former) == nil)
        #expect(slab.find(next.pointee.slot) == next)
    }

    @Test func tokensOfPlacesThatNeverWereFindNothing() throws {
        let slab = SlabUnderTest(bound: 1_000)
        #expect(slab.find(SlabSlot(index: 0, generation: 1)) == nil)
        _ = slab.take()
        for index in [1, 63, 64, 1_000, UInt32.max] as [UInt32] {
            for generation in [0, 1, 2, UInt32.max] as [UInt32] {
                #expect(slab.find(SlabSlot(index: index, generation: generation)) == nil)
            }
        }
    }

    @Test func generationsWrapWithinTheBitsOfATokenAndStayOdd() throws {
        let slab = SlabUnderTest(bound: 1)
        let element = try #require(slab.take())
        element.pointee.slot.generation = SlabSlot.generationMask
        slab.give(element)
        #expect(element.pointee.slot.generation == 0)
        #expect(slab.find(SlabSlot(index: 0, generation: SlabSlot.generationMask)) == nil)
        let next = try #require(slab.take())
        #expect(next.pointee.slot.generation == 1)
        #expect(SlabSlot.generationMask & 1 == 1)
    }

    @Test(arguments: 1...8 as ClosedRange<UInt64>)
    func randomStepsKeepElementsApart(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        let slab = SlabUnderTest(bound: 150)
        var used: [UnsafeMutablePointer<Element>: Int] = [:]
        var gone: [SlabSlot] = []
        for step in 1...2_000 {
            if Bool.random(using: &random) {
                guard let element = slab.take() else {
                    #expect(used.count == 150)
                    continue
                }
                try #require(used[element] == nil, "taken twice")
                element.pointee.mark = step
                used[element] = step
            } else if let (element, mark) = used.randomElement(using: &random) {
                #expect(element.pointee.mark == mark)
                gone.append(element.pointee.slot)
                #expect(slab.contains(mark))
                slab.give(element)
                #expect(!slab.contains(mark))
                used[element] = nil
            }
        }
        #expect(slab.inUse == used.count)
        #expect(Set(slab.elements) == Set(used.keys))
        for element in used.keys { #expect(slab.find(element.pointee.slot) == element) }
        for slot in gone { #expect(slab.find(slot) == nil) }
    }
}
