import SluicePlugin
import Testing

@Suite struct ExchangeTableTests {
    private let minute: UInt64 = 60_000_000_000

    @Test func whatIsSoughtIsFoundUntilItIsRemovedOrPushedOut() {
        let table = ExchangeTable<Int>()
        let values = UnsafeMutablePointer<Int>.allocate(capacity: 9)
        defer { values.deallocate() }
        // All of one set, which holds eight.
        for index in 0..<9 { table.insert(UInt64(1 + index * 512), values + index, now: minute) }
        #expect(table.find(1, now: minute) == nil)
        for index in 1..<9 { #expect(table.find(UInt64(1 + index * 512), now: minute) == values + index) }
        table.remove(513)
        #expect(table.find(513, now: minute) == nil)
        #expect(table.find(1_025, now: minute) == values + 2)
    }

    /// The token may be another exchange's by then, and the memory gone.
    @Test func whatNobodyHasSoughtForLongIsNotFollowed() {
        let table = ExchangeTable<Int>()
        let value = UnsafeMutablePointer<Int>.allocate(capacity: 1)
        defer { value.deallocate() }
        var now = minute
        table.insert(7, value, now: now)
        // A long answer is looked for all the time.
        for _ in 0..<4 {
            now += 29 * minute
            #expect(table.find(7, now: now) == value)
        }
        now += 30 * minute
        #expect(table.find(7, now: now) == nil)
        #expect(table.find(7, now: now) == nil)
    }
}
