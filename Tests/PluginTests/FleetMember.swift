import RateLimitBuckets

/// What the script does in Redis, in nanoseconds.
struct FleetStoreModel {
    var full: [UInt64: UInt64] = [:]

    /// - Parameters:
    ///   - sent: by the gateway's clock, what it says is from then on.
    ///   - now: when it comes, by the store's clock, which is right.
    mutating func tell(_ report: Reconciliation.Report, sent: UInt64? = nil, now: UInt64) -> UInt64 {
        let known = full[report.key] ?? 0
        let size = report.cost.magnitude
        let moved = report.cost >= 0 ? known + size : known - min(known, size)
        let least = report.least(from: sent ?? now)
        let result = max(moved, least >= 0 ? now + least.magnitude : now - min(now, least.magnitude))
        full[report.key] = result
        return max(result, now) - now
    }
}

/// A gateway of a fleet, without its sockets.
final class FleetMember {
    let under = TableUnderTest()
    /// Of each worker.
    let ledgers: [Ledger]
    private var reconciliation: Reconciliation
    private let memory: UnsafeMutableRawPointer

    init(workers: Int = 1) {
        let size = (ChargeRing.bytes + 63) & ~63
        memory = .allocate(byteCount: workers * size, alignment: 64)
        memory.initializeMemory(as: UInt8.self, repeating: 0, count: workers * size)
        var rings: [ChargeRing] = []
        for worker in 0..<workers { rings.append(ChargeRing(memory + worker * size)) }
        let table = under.table
        ledgers = rings.map { Ledger(table, $0) }
        reconciliation = Reconciliation(table, rings)
    }

    deinit { memory.deallocate() }

    var ledger: Ledger { ledgers[0] }

    func passes(_ key: UInt64, _ rate: Rate, worker: Int = 0, now: UInt64) -> Bool {
        let outcome = ledgers[worker].take(
            key, cost: rate.cost(1), need: rate.cost(1), tolerance: rate.tolerance, isShared: true, now: now)
        if case .passed = outcome.verdict { return true }
        return false
    }

    func asks(_ store: inout FleetStoreModel, all: Bool = false, now: UInt64) {
        for report in collect(all: all, now: now) {
            settle(report, ahead: store.tell(report, now: now), sent: now, now: now)
        }
    }

    func collect(all: Bool = false, now: UInt64) -> [Reconciliation.Report] {
        reconciliation.collect(all: all) { now }
    }

    func settle(_ report: Reconciliation.Report, ahead: UInt64, sent: UInt64, now: UInt64) {
        reconciliation.settle(report, ahead: ahead, sent: sent, now: now)
    }

    /// What was sent is not answered.
    func hears(nothingOf reports: [Reconciliation.Report], now: UInt64) {
        for report in reports { reconciliation.doubt(report) }
        fails(now: now)
    }

    func fails(now: UInt64) {
        _ = reconciliation.collect { now }
        reconciliation.fail(now: now)
    }

    func refuses(_ report: Reconciliation.Report, now: UInt64) { reconciliation.refuse(report, now: now) }
}
