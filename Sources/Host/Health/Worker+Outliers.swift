import HTTP1
import Resilience
import SluiceABI

/// Passive health: the home worker of a pool compares what its endpoints have answered, and takes out who does worse.
extension Worker {
    func startComparing(_ pool: UnsafeMutablePointer<WorkerPool>) {
        let detector = pool.pointee.shared.pointee.state.detector
        guard let policy = pool.pointee.policy, let duties = policy.pointee.duties,
            let settings = duties.pointee.outlier
        else {
            // Nobody looks any more: who is out comes back.
            let members = pool.pointee.endpointMembers
            for index in 0..<pool.pointee.endpointCount where members[index].pointee.ejectedUntil != 0 {
                members[index].pointee.ejectedUntil = 0
                availabilityChanged(pool.pointee.shared)
            }
            _ = detector.pointee.suspend()
            return
        }
        detector.pointee.settings = settings
        setHosts(pool, policy)
        duties.pointee.timer.kind = TimerKind.outliers
        duties.pointee.timer.owner = UnsafeMutableRawPointer(duties)
        // Not a whole interval anew: where generations follow each other faster, none would ever end.
        timers.start(duties.timer, at: detector.pointee.resume(now: now) / 1_000_000)
    }

    /// The pool has other endpoints now.
    func compareAgain(_ pool: UnsafeMutablePointer<WorkerPool>) {
        guard let policy = pool.pointee.policy, policy.pointee.duties?.pointee.outlier != nil else { return }
        setHosts(pool, policy)
    }

    private func setHosts(_ pool: UnsafeMutablePointer<WorkerPool>, _ policy: UnsafeMutablePointer<PoolPolicy>) {
        let detector = pool.pointee.shared.pointee.state.detector
        for change in detector.pointee.setHosts(pool.pointee.endpointTable.hosts) { apply(change, pool, policy) }
        tellDown(pool, policy)
    }

    /// Tells the detector whom checks keep out, for it leaves the last one in.
    private func tellDown(_ pool: UnsafeMutablePointer<WorkerPool>, _ policy: UnsafeMutablePointer<PoolPolicy>) {
        let changes = pool.pointee.shared.pointee.state.detector.pointee.setDown { index in
            let member = policy.pointee.members[index].pointee
            return member.isDown || member.isAwaited
        }
        for change in changes { apply(change, pool, policy) }
    }

    /// Checks see an endpoint of the pool otherwise than before.
    func healthChanged(_ pool: UnsafeMutablePointer<WorkerPool>) {
        guard let policy = pool.pointee.policy, policy.pointee.duties?.pointee.outlier != nil else { return }
        tellDown(pool, policy)
    }

    /// An interval is over.
    func compareEndpoints(_ owner: UnsafeMutableRawPointer) {
        let duties = owner.assumingMemoryBound(to: HealthDuties.self)
        let pool = duties.pointee.pool
        guard duties.pointee.outlier != nil, let policy = pool.pointee.policy else { return }
        let totals = (0..<pool.pointee.endpointCount).map { index in
            OutlierCounter(policy.pointee.members[index].pointee.outlier).totals
        }
        tellDown(pool, policy)
        var generator = WorkerRandom(worker: self)
        let detector = pool.pointee.shared.pointee.state.detector
        for change in detector.pointee.evaluate(totals, now: now, random: &generator) { apply(change, pool, policy) }
        timers.start(duties.timer, at: detector.pointee.intervalEnd / 1_000_000)
    }

    /// Some worker has counted so many failures in a row of an endpoint as the pool allows.
    func failedInARow(_ shared: UnsafeMutableRawPointer, _ endpoint: UInt64) {
        let tables = generation
        for index in 0..<tables.pointee.poolCount {
            let pool = tables.pointee.pools + index
            guard UnsafeMutableRawPointer(pool.pointee.shared) == shared, let policy = pool.pointee.policy,
                policy.pointee.duties?.pointee.outlier != nil
            else { continue }
            let detector = pool.pointee.shared.pointee.state.detector
            guard let host = detector.pointee.hosts.firstIndex(where: { $0.id == endpoint }) else { return }
            tellDown(pool, policy)
            // Who was out long enough but has not been looked at since is in again.
            for change in detector.pointee.giveBack(now: now) { apply(change, pool, policy) }
            if let change = detector.pointee.failedInARow(host, now: now, random: nextRandom()) {
                apply(change, pool, policy)
            }
            return
        }
    }

    private func apply(
        _ change: OutlierChange, _ pool: UnsafeMutablePointer<WorkerPool>, _ policy: UnsafeMutablePointer<PoolPolicy>
    ) {
        switch change {
        case .ejected(let host, let reason, let until):
            let member = policy.pointee.members[host].pointee
            member.ejectedUntil = until
            OutlierCounter(member.outlier).forgetFailuresInARow()
            metrics.ejected(pool: PoolMetricsID(index: pool.pointee.shared.pointee.metrics))
            let what: StaticString =
                switch reason {
                case .consecutiveFailures: "endpoint ejected for its failures in a row"
                case .successRate: "endpoint ejected for its share of failures"
                case .latency: "endpoint ejected for its latency"
                }
            tell(pool, pool.pointee.targets[host].pointee.text, what)
        case .returned(let host):
            let member = policy.pointee.members[host].pointee
            // It has been picked since its time was up, not since somebody looked; one that is back early, since now.
            member.warmingSince = max(member.warmingSince, min(member.ejectedUntil, now))
            member.ejectedUntil = 0
            tell(pool, pool.pointee.targets[host].pointee.text, "endpoint is back in its pool")
        }
        availabilityChanged(pool.pointee.shared)
    }
}

extension EndpointTable {
    /// As the detector is told of them. It knows them by what no other endpoint ever has: the pool may have been gone
    /// for so long that the place of one is another's, or its own once more with counts that begin anew.
    var hosts: [(id: UInt64, totals: OutlierTotals, ejectedUntil: UInt64)] {
        (0..<count).map { index in
            let member = members[index].pointee
            return (
                id: targets[index].pointee.id, totals: OutlierCounter(member.outlier).totals,
                ejectedUntil: member.ejectedUntil
            )
        }
    }
}

/// The worker's generator for whoever takes one of the library's kind.
struct WorkerRandom: RandomNumberGenerator {
    let worker: Worker
    mutating func next() -> UInt64 { worker.nextRandom() }
}
