import Testing

@testable import Resilience

/// A queue whose memory lives as long as the test.
final class QueueFixture {
    var queue: AdmissionQueue
    var now: UInt64 = 1000 * second
    private var nextToken: UInt64 = 0

    init(_ change: (inout AdmissionSettings) -> Void = { _ in }) {
        var settings = AdmissionSettings()
        settings.capacity = 64
        change(&settings)
        queue = AdmissionQueue(settings)
    }
    deinit { queue.deallocate() }

    /// Tokens count from 0.
    @discardableResult
    func push(_ priority: UInt8 = 5, tenant: UInt64 = 0, weight: UInt32 = 1, deadline: UInt64 = .max) -> AdmissionPush {
        let entry = AdmissionEntry(
            token: nextToken, worker: 3, priority: priority, tenant: tenant, weight: weight, deadline: deadline,
            waitingSince: now)
        nextToken += 1
        return queue.push(entry, now: now)
    }

    func handle(_ push: AdmissionPush) -> AdmissionHandle {
        switch push {
        case .queued(let handle), .displaced(let handle, _, _): handle
        case .refused: AdmissionHandle(bits: 0)
        }
    }

    /// Tokens in the order in which they go, until none is left or the next is too late.
    func takeAll() -> [UInt64] {
        var tokens: [UInt64] = []
        while case .next(let entry) = queue.take(now: now) { tokens.append(entry.token) }
        return tokens
    }
    func takeTenants(_ count: Int) -> [UInt64] {
        (0..<count).map { _ in
            if case .next(let entry) = queue.take(now: now) { entry.tenant } else { .max }
        }
    }
}

@Suite("Admission queue")
struct AdmissionQueueTests {
    @Test("Higher priorities go first, and of one the longest wait")
    func priorities() {
        let fixture = QueueFixture()
        for priority in [5, 9, 0, 5, 0, 9, 12] as [UInt8] {
            fixture.now += 1
            fixture.push(priority)
        }
        #expect(fixture.queue.count == 7)
        #expect(fixture.queue.count(priority: 9) == 3)
        #expect(fixture.queue.longestWait(now: fixture.now) == 6)
        #expect(fixture.takeAll() == [2, 4, 0, 3, 1, 5, 6])
        #expect(fixture.queue.isEmpty)
        #expect(fixture.queue.take(now: fixture.now) == .empty)
    }

    @Test("An entry comes back as it went in")
    func entry() {
        let fixture = QueueFixture()
        let entry = AdmissionEntry(
            token: 99, worker: 7, priority: 3, tenant: 11, weight: 5, deadline: 2000 * second, waitingSince: 5)
        _ = fixture.queue.push(entry, now: fixture.now)
        #expect(fixture.queue.take(now: fixture.now) == .next(entry))
    }

    @Test("One that waited before it was queued goes before those who came meanwhile")
    func waitedBefore() {
        let fixture = QueueFixture()
        fixture.push()
        _ = fixture.queue.push(
            AdmissionEntry(token: 77, priority: 5, waitingSince: fixture.now - 5), now: fixture.now)
        #expect(fixture.takeAll() == [77, 0])
    }

    @Test("Waiting lifts a request one level a time, and there the longest wait goes first")
    func ageing() {
        let fixture = QueueFixture { $0.ageing = second }
        fixture.push(2)
        fixture.now += second - 1
        fixture.push(1)
        // Not yet level 1.
        #expect(fixture.queue.take(now: fixture.now) != .empty)
        fixture.push(1)
        fixture.now += 1
        fixture.push(1)
        fixture.push(0)
        // Token 0 has come to level 1, before 2 and 3.
        #expect(fixture.takeAll() == [4, 0, 2, 3])
    }

    @Test("One that nobody looked at goes up all the levels that it has waited for")
    func longAgeing() {
        let fixture = QueueFixture { $0.ageing = second }
        fixture.push(9)
        fixture.now += 5 * second
        fixture.push(5)
        fixture.push(4)
        fixture.push(3)
        #expect(fixture.takeAll() == [3, 0, 2, 1])
        fixture.push(9)
        fixture.now += 100 * second
        fixture.push(0)
        #expect(fixture.takeAll() == [4, 5])
    }

    @Test("One that waited before has the level that it had come to")
    func ageingBefore() {
        let fixture = QueueFixture { $0.ageing = second }
        func again(_ token: UInt64, _ priority: UInt8, waited: UInt64) {
            let entry = AdmissionEntry(token: token, priority: priority, waitingSince: fixture.now - waited)
            _ = fixture.queue.push(entry, now: fixture.now)
        }
        fixture.push(5)
        again(77, 9, waited: 5 * second)
        again(78, 9, waited: 4 * second - 1)
        again(79, 2, waited: 100 * second)
        #expect(fixture.takeAll() == [79, 77, 0, 78])
        // From there on it goes up as all do, within one step of what it has waited in all.
        again(80, 9, waited: 4 * second + 1)
        fixture.now += second
        fixture.push(4)
        #expect(fixture.takeAll() == [80, 1])
        fixture.queue.ageing = 0
        again(81, 9, waited: 100 * second)
        fixture.push(5)
        #expect(fixture.takeAll() == [2, 81])
    }

    @Test("Without ageing the lowest waits for ever; switched on, it is lifted")
    func withoutAgeing() {
        let fixture = QueueFixture { $0.ageing = 0 }
        fixture.push(9)
        fixture.now += 1000 * second
        fixture.push(8)
        #expect(fixture.queue.take(now: fixture.now) != .empty)
        fixture.push(8)
        fixture.queue.ageing = second
        #expect(fixture.takeAll() == [0, 2])
    }

    @Test("Under a flood of the highest priority, one of the lowest goes within its bound")
    func starvation() {
        let fixture = QueueFixture { $0.ageing = second }
        fixture.push(9)
        var waited = 0
        for _ in 0..<100 {
            fixture.push(0)
            fixture.now += 100 * millisecond
            guard case .next(let entry) = fixture.queue.take(now: fixture.now) else { break }
            if entry.token == 0 { break }
            waited += 1
        }
        #expect(waited == 89)
    }

    @Test("Tenants take turns by their weights, however many requests one has")
    func fairness() {
        let fixture = QueueFixture()
        for _ in 0..<20 { fixture.push(tenant: 1) }
        for _ in 0..<5 { fixture.push(tenant: 2) }
        #expect(fixture.takeTenants(10) == [1, 2, 1, 2, 1, 2, 1, 2, 1, 2])
        for _ in 0..<12 { fixture.push(tenant: 3, weight: 2) }
        #expect(fixture.takeTenants(9) == [3, 3, 1, 3, 3, 1, 3, 3, 1])
    }

    @Test("Tenants whose numbers differ in their upper bits alone have places of their own")
    func placesOfTenants() {
        let table = TenantTable(count: 64)
        defer { table.deallocate() }
        var taken: Set<Int> = []
        for tenant in 1...16 as ClosedRange<UInt64> {
            let place = table.place(of: tenant << 40, weight: 1)
            table.places[place].count = 1
            taken.insert(place)
        }
        #expect(taken.count == 16)
    }

    @Test("A tenant saves nothing up while it asks for nothing")
    func noCredit() {
        let fixture = QueueFixture()
        for _ in 0..<30 { fixture.push(tenant: 1) }
        #expect(fixture.takeTenants(20).allSatisfy { $0 == 1 })
        for _ in 0..<10 { fixture.push(tenant: 2) }
        let served = fixture.takeTenants(10)
        #expect(served.count { $0 == 2 } == 5)
    }

    @Test("One that is taken out of a tenant's queue costs the tenant neither turn nor place")
    func removalIsFree() {
        let fixture = QueueFixture()
        let first = fixture.handle(fixture.push(tenant: 1))
        fixture.push(tenant: 1)
        fixture.push(tenant: 2)
        fixture.push(tenant: 2)
        #expect(fixture.queue.remove(first)?.token == 0)
        #expect(fixture.takeTenants(3) == [1, 2, 2])
    }

    @Test("More tenants than places share some; all are served")
    func manyTenants() {
        let fixture = QueueFixture { $0.tenants = 4 }
        for tenant in 0..<64 as Range<UInt64> { fixture.push(tenant: tenant) }
        #expect(Set(fixture.takeTenants(64)).count == 64)
        // The places are free again, each for a tenant of its own.
        for _ in 0..<3 { for tenant in [1001, 1002] as [UInt64] { fixture.push(tenant: tenant) } }
        #expect(fixture.takeTenants(6) == [1001, 1002, 1001, 1002, 1001, 1002])
    }

    @Test("A tenant keeps its place while it has requests there, and no longer")
    func places() {
        let table = TenantTable(count: 3)
        defer { table.deallocate() }
        #expect(table.count == 4)
        let places = (1...4 as ClosedRange<UInt64>).map { tenant in
            let place = table.place(of: tenant, weight: UInt32(tenant))
            table.places[place].count += 1
            return place
        }
        #expect(Set(places).count == 4)
        // One more shares a place and changes nothing there.
        let shared = table.place(of: 5, weight: 100)
        #expect(table.places[shared].weight <= 4)
        #expect((1...4 as ClosedRange<UInt64>).map { table.place(of: $0, weight: UInt32($0)) } == places)
        table.places[places[2]].count -= 1
        #expect(table.place(of: 5, weight: 100) == places[2])
        #expect(table.places[places[2]].weight == 100)
    }

    @Test("What is too late leaves first, and is never what goes next")
    func deadlines() {
        let fixture = QueueFixture()
        fixture.push(0, deadline: fixture.now + 10)
        fixture.push(9, deadline: fixture.now + 5)
        fixture.push(5)
        #expect(fixture.queue.nextDeadline == fixture.now + 5)
        #expect(fixture.queue.takeExpired(now: fixture.now + 4) == nil)
        fixture.now += 9
        guard case .expired(let entry) = fixture.queue.take(now: fixture.now) else {
            Issue.record("not expired")
            return
        }
        #expect(entry.token == 1)
        #expect(fixture.takeAll() == [0, 2])
        fixture.push(0, deadline: fixture.now)
        #expect(fixture.queue.takeExpired(now: fixture.now)?.token == 3)
        #expect(fixture.queue.nextDeadline == .max)
    }

    @Test("A handle takes its request out once; a later one in its place is not meant")
    func removal() {
        let fixture = QueueFixture { $0.capacity = 1 }
        let first = fixture.handle(fixture.push())
        #expect(fixture.queue.remove(first)?.token == 0)
        #expect(fixture.queue.remove(first) == nil)
        let second = fixture.handle(fixture.push())
        #expect(second != first)
        #expect(fixture.queue.remove(first) == nil)
        #expect(fixture.queue.remove(second)?.token == 1)
        #expect(fixture.queue.remove(AdmissionHandle(bits: 0)) == nil)
        #expect(fixture.queue.remove(AdmissionHandle(bits: .max)) == nil)
    }

    @Test("A full queue refuses, or drops by its policy, never for one of a lower priority")
    func full() {
        func dropped(_ policy: AdmissionSettings.FullPolicy, newcomer: UInt8) -> UInt64? {
            let fixture = QueueFixture {
                $0.capacity = 4
                $0.fullPolicy = policy
            }
            for priority in [0, 6, 7, 6] as [UInt8] {
                fixture.now += 1
                fixture.push(priority)
            }
            switch fixture.push(newcomer) {
            case .displaced(_, let entry, isExpired: false): return entry.token
            case .refused: return nil
            default:
                Issue.record("neither refused nor dropped")
                return nil
            }
        }
        for priority in 0..<10 as Range<UInt8> { #expect(dropped(.reject, newcomer: priority) == nil) }
        #expect([0, 1, 6, 7, 8, 9].map { dropped(.dropOldest, newcomer: $0) } == [0, 1, 1, 2, nil, nil])
        #expect([0, 5, 6, 7, 9].map { dropped(.dropLowest, newcomer: $0) } == [2, 2, 2, nil, nil])
    }

    @Test("Before a full queue drops anything, what is too late leaves")
    func fullOfLate() {
        let fixture = QueueFixture { $0.capacity = 2 }
        fixture.push(0)
        fixture.push(0, deadline: fixture.now + 1)
        #expect(fixture.push(9) == .refused)
        fixture.now += 1
        guard case .displaced(_, let entry, isExpired: true) = fixture.push(9) else {
            Issue.record("not displaced")
            return
        }
        #expect(entry.token == 1)
    }
}
