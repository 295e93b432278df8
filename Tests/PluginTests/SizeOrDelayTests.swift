import SluiceABI
import Testing

@Suite struct SizeOrDelayTests {
    let host = FakeHost()
    static let millisecond: UInt64 = 1_000_000

    @Test func flushesWhenFull() throws {
        let batcher = try BatcherUnderTest(host)
        #expect(batcher.enqueue(rows: 15, count: 3).flush == 0)
        #expect(batcher.enqueue(rows: 16, count: 4).flush == 4)
        #expect(batcher.enqueue(rows: 20, count: 5).flush == 5)
    }

    @Test func waitsUntilTheOldestHasWaitedLongEnough() throws {
        let batcher = try BatcherUnderTest(host)
        let waiting = batcher.enqueue(rows: 1, count: 1, oldest: 100, now: 100)
        #expect(waiting.flush == 0)
        #expect(waiting.timer_ns == 100 + 10 * Self.millisecond)
        let early = batcher.onTimer(rows: 2, count: 2, oldest: 100, now: 99 + 10 * Self.millisecond)
        #expect(early.flush == 0)
        #expect(early.timer_ns == 100 + 10 * Self.millisecond)
        #expect(batcher.onTimer(rows: 2, count: 2, oldest: 100, now: 100 + 10 * Self.millisecond).flush == 2)
    }

    @Test func anEmptyQueueNeedsNoTimer() throws {
        let batcher = try BatcherUnderTest(host)
        let decision = batcher.onTimer(rows: 0, count: 0, oldest: 0, now: 500)
        #expect(decision.flush == 0)
        #expect(decision.timer_ns == UInt64.max)
    }

    @Test func flushesBeforeADeadlineByAsLongAsBatchesTake() throws {
        let batcher = try BatcherUnderTest(host, config: ["deadline_reserve_ms": 1])
        let deadline = 8 * Self.millisecond
        // Nothing is known yet: half of what there is, and the reserve.
        #expect(
            batcher.enqueue(rows: 1, count: 1, deadline: deadline).timer_ns == 3 * Self.millisecond)
        batcher.done(total: 3 * Self.millisecond)
        #expect(
            batcher.enqueue(rows: 1, count: 1, deadline: deadline).timer_ns == 4 * Self.millisecond)
        #expect(batcher.enqueue(rows: 1, count: 1, now: 4 * Self.millisecond, deadline: deadline).flush == 1)
        // A failure tells nothing of the time that a batch takes.
        batcher.done(total: 7 * Self.millisecond, status: SLUICE_UNAVAILABLE)
        #expect(
            batcher.enqueue(rows: 1, count: 1, deadline: deadline).timer_ns == 4 * Self.millisecond)
        // 3 ms and one eighth of the difference to 11 ms.
        batcher.done(total: 11 * Self.millisecond)
        #expect(
            batcher.enqueue(rows: 1, count: 1, deadline: deadline).timer_ns == 3 * Self.millisecond)
    }

    /// Else a pool whose batches are sent too late would never learn that they are.
    @Test func aBatchThatCameTooLateSendsTheNextOneEarlier() throws {
        let batcher = try BatcherUnderTest(host, config: ["deadline_reserve_ms": 1])
        let deadline = 80 * Self.millisecond
        batcher.done(total: Self.millisecond)
        var times: [UInt64] = []
        for _ in 0..<8 {
            let decision = batcher.enqueue(rows: 1, count: 1, oldest: 0, now: 0, deadline: deadline, delay: deadline)
            times.append(decision.flush == 1 ? 0 : decision.timer_ns / Self.millisecond)
            batcher.done(total: 2 * Self.millisecond, status: SLUICE_DEADLINE_EXCEEDED)
        }
        #expect(times == [78, 75, 71, 63, 47, 15, 0, 0])
        batcher.done(total: UInt64.max, status: SLUICE_DEADLINE_EXCEEDED)
        #expect(batcher.enqueue(rows: 1, count: 1, deadline: deadline).flush == 1)
    }

    @Test func aDelayWithoutEndIsNoOverflow() throws {
        let batcher = try BatcherUnderTest(host)
        #expect(batcher.enqueue(rows: 1, count: 1, oldest: 10, now: 10, delay: UInt64.max).timer_ns == UInt64.max)
        #expect(batcher.enqueue(rows: 1, count: 1, deadline: 0).flush == 1)
    }

    @Test func refusesAReserveThatIsNoNumber() throws {
        let table = try LoadedPlugin("SizeOrDelay").table(SLUICE_BATCHER, as: sluice_batcher.self)
        #expect(host.create(table.pointee.base, config: ["deadline_reserve_ms": "much"]).status < 0)
        #expect(host.create(table.pointee.base, config: ["deadline_reserve_ms": -1]).status < 0)
        #expect(host.configurationErrors.map(\.path) == ["deadline_reserve_ms", "deadline_reserve_ms"])
    }
}

/// The batcher's library with one instance of it.
final class BatcherUnderTest {
    private let plugin: LoadedPlugin
    private let table: UnsafePointer<sluice_batcher>
    private let instance: UnsafeMutableRawPointer

    init(_ host: FakeHost, config: ConfigTree = .null) throws {
        plugin = try LoadedPlugin("SizeOrDelay")
        table = try plugin.table(SLUICE_BATCHER, as: sluice_batcher.self)
        let made = host.create(table.pointee.base, config: config)
        guard let instance = made.instance else {
            throw LoadedPlugin.Failure(description: "no instance: status \(made.status), \(host.failure)")
        }
        self.instance = instance
    }

    deinit { table.pointee.base.destroy(instance) }

    private func batch(
        _ rows: UInt32, _ count: UInt32, _ oldest: UInt64, _ now: UInt64, _ deadline: UInt64, _ delay: UInt64
    ) -> sluice_batch {
        sluice_batch(
            count: count, rows: rows, bytes: 0, oldest_ns: oldest, now_ns: now, earliest_deadline_ns: deadline,
            max_rows: 16, in_flight: 0, max_delay_ns: delay)
    }

    func enqueue(
        rows: UInt32, count: UInt32, oldest: UInt64 = 0, now: UInt64 = 0, deadline: UInt64 = UInt64.max,
        delay: UInt64 = 10 * SizeOrDelayTests.millisecond
    ) -> sluice_batch_decision {
        var asked = batch(rows, count, oldest, now, deadline, delay)
        var decision = sluice_batch_decision(flush: 99, reserved: 99, timer_ns: 99)
        table.pointee.enqueue(instance, &asked, &decision)
        return decision
    }

    func onTimer(rows: UInt32, count: UInt32, oldest: UInt64, now: UInt64) -> sluice_batch_decision {
        var asked = batch(rows, count, oldest, now, UInt64.max, 10 * SizeOrDelayTests.millisecond)
        var decision = sluice_batch_decision(flush: 99, reserved: 99, timer_ns: 99)
        table.pointee.on_timer(instance, &asked, &decision)
        return decision
    }

    func done(total: UInt64, status: sluice_status = SLUICE_OK) {
        var outcome = sluice_outcome(
            endpoint: 0, status: status, http_status: 200, attempt: 1, first_byte_ns: total, total_ns: total,
            ended_ns: 0)
        table.pointee.on_batch_done(instance, 1, 1, &outcome)
    }
}
