import Glibc
import Synchronization
import TestThreads
import Testing

@testable import Host

@Suite struct MailboxTests {
    /// How often the mailbox has asked its owner to wake up since this was last called; 0 when it has not.
    private func wakeUps(_ mailbox: Mailbox) -> UInt64 {
        var count: UInt64 = 0
        return read(mailbox.descriptor, &count, 8) == 8 ? count : 0
    }

    private func values(_ mailbox: Mailbox) -> [UInt64] {
        var values: [UInt64] = []
        var next = mailbox.receive()
        while let message = next {
            values.append(message.pointee.value)
            next = message.pointee.next
            mailbox.giveBack(message)
        }
        return values
    }

    @Test func messagesArriveOldestFirstWithWhatTheyCarry() throws {
        let mailbox = try #require(Mailbox())
        let carried = UnsafeMutableRawPointer.allocate(byteCount: 1, alignment: 1)
        defer { carried.deallocate() }
        mailbox.send(.resume, value: 7)
        mailbox.send(.batchCancel, value: 8, pointer: carried)
        mailbox.send(.drain)
        let first = try #require(mailbox.receive())
        let second = try #require(first.pointee.next)
        let third = try #require(second.pointee.next)
        #expect(first.pointee.kind == .resume && first.pointee.value == 7 && first.pointee.pointer == nil)
        #expect(second.pointee.kind == .batchCancel && second.pointee.value == 8 && second.pointee.pointer == carried)
        #expect(third.pointee.kind == .drain && third.pointee.next == nil)
        for message in [first, second, third] { mailbox.giveBack(message) }
        #expect(mailbox.receive() == nil)
    }

    @Test func aBurstWakesTheOwnerOnce() throws {
        let mailbox = try #require(Mailbox())
        #expect(wakeUps(mailbox) == 0)
        for value in 0..<100 as Range<UInt64> { mailbox.send(.resume, value: value) }
        #expect(wakeUps(mailbox) == 1)
        // The owner has heard of them, and those that follow before it looks need no second call.
        mailbox.send(.resume, value: 100)
        #expect(wakeUps(mailbox) == 0)
        #expect(values(mailbox) == Array(0...100))
        mailbox.send(.resume, value: 101)
        #expect(wakeUps(mailbox) == 1)
        #expect(values(mailbox) == [101])
    }

    @Test func whatWasReceivedIsSentAgain() throws {
        let (one, other) = (try #require(Mailbox()), try #require(Mailbox()))
        one.send(.resume, value: 1)
        one.send(.resume, value: 2)
        let first = try #require(one.receive())
        let second = try #require(first.pointee.next)
        one.giveBack(first)
        one.giveBack(second)
        // The one that was given back last comes first; a third has to be made.
        for value in 3...5 as ClosedRange<UInt64> { other.send(.resume, value: value, from: one) }
        let third = try #require(other.receive())
        let fourth = try #require(third.pointee.next)
        #expect(third == second && fourth == first && fourth.pointee.next != nil)
        #expect(third.pointee.value == 3 && fourth.pointee.value == 4 && third.pointee.kind == .resume)
    }

    @Test func whatIsKeptHasABound() throws {
        let mailbox = try #require(Mailbox())
        let count = Mailbox.sparesAtMost + 10
        for value in 0..<UInt64(count) { mailbox.send(.resume, value: value) }
        #expect(values(mailbox) == Array(0..<UInt64(count)))
        #expect(mailbox.spares == Mailbox.sparesAtMost)
        for value in 0..<UInt64(count) { mailbox.send(.resume, value: value, from: mailbox) }
        #expect(mailbox.spares == 0)
        #expect(values(mailbox) == Array(0..<UInt64(count)))
    }

    @Test func receivingTakesTheWakeUpToo() throws {
        let mailbox = try #require(Mailbox())
        mailbox.send(.resume, value: 1)
        #expect(values(mailbox) == [1])
        #expect(wakeUps(mailbox) == 0)
    }

    /// The owner sleeps until it is woken, as a worker does: a wake-up that got lost ends the test at its time limit.
    @Test(.timeLimit(.minutes(1)))
    func manyThreadsSendInTheirOrderAndTheOwnerMissesNothing() throws {
        let mailbox = try #require(Mailbox())
        let producers = 4
        let each = 20_000
        for producer in 0..<producers {
            onThread {
                for index in 0..<each { mailbox.send(.resume, value: UInt64(producer) << 32 | UInt64(index)) }
            }
        }
        var next = Array(repeating: 0, count: producers)
        var received = 0
        while received < producers * each {
            var wait = pollfd(fd: mailbox.descriptor, events: Int16(POLLIN), revents: 0)
            try #require(poll(&wait, 1, 30_000) == 1, "not woken, though \(producers * each - received) are missing")
            for value in values(mailbox) {
                let producer = Int(value >> 32)
                let isNext = Int(value & 0xFFFF_FFFF) == next[producer]
                try #require(isNext, "\(value & 0xFFFF_FFFF) of \(producer) in place of \(next[producer])")
                next[producer] += 1
                received += 1
            }
        }
        #expect(values(mailbox) == [])
    }
}
