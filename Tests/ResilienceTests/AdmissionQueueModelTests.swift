import SluiceHashing
import Testing

@testable import Resilience

/// The same rules over a plain array, looked through from end to end.
private struct QueueModel {
    struct Waiting {
        var entry: AdmissionEntry
        var joined: UInt64
    }
    var waiting: [Waiting] = []
    let settings: AdmissionSettings

    func level(_ one: Waiting, now: UInt64) -> Int {
        let gained = settings.ageing == 0 ? 0 : Int((now - one.joined) / settings.ageing)
        return max(0, Int(one.entry.priority) - gained)
    }

    /// The best level of all, and who may go there: of each tenant the one that has waited longest.
    func candidates(now: UInt64) -> [AdmissionEntry] {
        guard let best = waiting.map({ level($0, now: now) }).min() else { return [] }
        let there = waiting.filter { level($0, now: now) == best }.map(\.entry)
        return Set(there.map(\.tenant)).compactMap { tenant in
            there.filter { $0.tenant == tenant }.min { ($0.waitingSince, $0.token) < ($1.waitingSince, $1.token) }
        }
    }
}

@Suite("Admission queue against a model")
struct AdmissionQueueModelTests {
    @Test("Random operations agree with the plain model", arguments: 0..<60 as Range<UInt64>)
    func agrees(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        var settings = AdmissionSettings()
        settings.capacity = Int.random(in: 1...40, using: &random)
        settings.ageing = [0, 50, 300][Int(random.next() % 3)]
        settings.fullPolicy = AdmissionSettings.FullPolicy.allCases[Int(random.next() % 3)]
        settings.tenants = 64
        let tenants = 1 + random.next() % 6
        var queue = AdmissionQueue(settings)
        defer { queue.deallocate() }
        var model = QueueModel(settings: settings)
        var handles: [UInt64: AdmissionHandle] = [:]
        var now: UInt64 = 1000
        func drop(_ token: UInt64) {
            model.waiting.removeAll { $0.entry.token == token }
            handles[token] = nil
        }
        for token in 0..<400 as Range<UInt64> {
            now += random.next() % 30
            switch random.next() % 8 {
            case 0..<4:
                let entry = AdmissionEntry(
                    token: token, priority: UInt8(random.next() % 10), tenant: random.next() % tenants,
                    deadline: random.next() % 3 == 0 ? now + random.next() % 400 : .max, waitingSince: now)
                let isFull = model.waiting.count == settings.capacity
                let late = model.waiting.filter { $0.entry.deadline <= now }
                let push = queue.push(entry, now: now)
                switch push {
                case .queued(let handle):
                    #expect(!isFull)
                    handles[token] = handle
                case .displaced(let handle, let dropped, let isExpired):
                    #expect(isFull && isExpired == !late.isEmpty)
                    let others: [AdmissionEntry] = model.waiting.map { $0.entry }
                    if isExpired {
                        let earliest = others.map { $0.deadline }.min()
                        #expect(dropped.deadline == earliest)
                    } else if settings.fullPolicy == .dropLowest {
                        let lowest = others.map { $0.priority }.max() ?? 0
                        let last = others.filter { $0.priority == lowest }.map { $0.token }.max()
                        #expect(lowest > entry.priority)
                        #expect(dropped.token == last)
                    } else {
                        let first = others.filter { $0.priority >= entry.priority }.map { $0.token }.min()
                        #expect(dropped.token == first)
                    }
                    drop(dropped.token)
                    handles[token] = handle
                case .refused:
                    #expect(isFull && late.isEmpty)
                    let lowest = model.waiting.map { $0.entry.priority }.max() ?? 0
                    let mayDrop: Bool =
                        switch settings.fullPolicy {
                        case .reject: false
                        case .dropOldest: lowest >= entry.priority
                        case .dropLowest: lowest > entry.priority
                        }
                    #expect(!mayDrop)
                    continue
                }
                model.waiting.append(.init(entry: entry, joined: now))
            case 4:
                guard let (token, handle) = handles.min(by: { $0.key < $1.key }) else { continue }
                let expected = model.waiting.first { $0.entry.token == token }?.entry
                #expect(queue.remove(handle) == expected)
                #expect(queue.remove(handle) == nil)
                drop(token)
            default:
                let late = model.waiting.contains { $0.entry.deadline <= now }
                switch queue.take(now: now) {
                case .empty: #expect(model.waiting.isEmpty)
                case .expired(let entry):
                    #expect(late && entry.deadline <= now)
                    drop(entry.token)
                case .next(let entry):
                    let mayGo = model.candidates(now: now).contains(entry)
                    #expect(!late && mayGo)
                    drop(entry.token)
                }
            }
            #expect(queue.count == model.waiting.count)
            let deadline = model.waiting.map { $0.entry.deadline }.min() ?? .max
            #expect(queue.nextDeadline == deadline)
            let ofThree = model.waiting.count { $0.entry.priority == 3 }
            #expect(queue.count(priority: 3) == ofThree)
        }
    }

    @Test("While tenants have requests, their shares differ by one each at most", arguments: 0..<20 as Range<UInt64>)
    func shares(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        var settings = AdmissionSettings()
        settings.capacity = 4000
        settings.tenants = 256
        var queue = AdmissionQueue(settings)
        defer { queue.deallocate() }
        let tenants = Int.random(in: 2...12, using: &random)
        let weights = (0..<tenants).map { _ in UInt32.random(in: 1...50, using: &random) }
        let each = 4000 / weights.count
        for (tenant, weight) in weights.enumerated() {
            for _ in 0..<each {
                _ = queue.push(
                    AdmissionEntry(
                        token: 0, priority: 1, tenant: UInt64(tenant) &* 977, weight: weight, waitingSince: 1),
                    now: 1)
            }
        }
        var served = Array(repeating: 0, count: weights.count)
        while true {
            guard case .next(let entry) = queue.take(now: 1) else { break }
            served[Int(entry.tenant / 977)] += 1
            if served.contains(each) { break }
            for (first, second) in [(0, 1), (Int(random.next() & 1), weights.count - 1)] where first != second {
                let difference =
                    Double(served[first]) / Double(weights[first]) - Double(served[second]) / Double(weights[second])
                let most = 1 / Double(weights[first]) + 1 / Double(weights[second]) + 0.01
                #expect(abs(difference) <= most)
            }
        }
        #expect(served.allSatisfy { $0 > 0 })
    }
}
