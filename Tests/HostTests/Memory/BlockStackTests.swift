import Testing

@testable import Host

@Suite struct BlockStackTests {
    private func address(_ number: Int) -> UnsafeMutableRawPointer? { UnsafeMutableRawPointer(bitPattern: number) }

    @Test func theLatestIsOnTopHoweverManyThereAre() throws {
        var stack = BlockStack()
        #expect(stack.pop() == nil && stack.peek() == nil && stack.count == 0)
        // More than there is room for at first, twice over.
        for number in 1...200 { stack.push(try #require(address(number))) }
        let (top, third) = (stack.peek(), stack.peek(after: 2))
        #expect(top == address(200) && third == address(198))
        let (last, none) = (stack.peek(after: 199), stack.peek(after: 200))
        #expect(last == address(1) && none == nil)
        #expect(stack.count == 200)
        let all = (0..<200).map { _ in stack.pop() }
        #expect(all == (1...200).reversed().map { address($0) })
        #expect(stack.pop() == nil && stack.count == 0)
        // What it had room for serves again.
        stack.push(try #require(address(7)))
        #expect(stack.pop() == address(7))
        stack.deallocate()
    }
}
