import Resilience

/// Which of the endpoints that may be picked a request's balancer is shown: those of the gateway's zone, and those that
/// are warming up no more often than they can bear. All balancers profit, as the mask is all that they choose from.
extension Worker {
    /// After the mask was made: who is preferred, and who is held back. Says when to look again, in nanoseconds.
    func weighPreferences(
        _ pool: UnsafeMutablePointer<WorkerPool>, _ policy: UnsafeMutablePointer<PoolPolicy>
    ) -> UInt64 {
        guard policy.pointee.slowStart != nil || policy.pointee.zonePreference != nil else { return .max }
        var own = ZonePreference.Side()
        var others = ZonePreference.Side()
        for index in 0..<pool.pointee.endpointCount {
            let weight = Double(pool.pointee.endpoints[index].weight)
            let isHealthy = policy.pointee.mask[index >> 6] >> UInt64(index & 63) & 1 != 0
            if pool.pointee.endpointPreferences.isOwn(index) {
                own.add(weight: weight, isHealthy: isHealthy)
            } else {
                others.add(weight: weight, isHealthy: isHealthy)
            }
        }
        let share = policy.pointee.zonePreference.flatMap { ZonePreference.localShare(own: own, others: others, $0) }
        pool.pointee.endpointPreferences.ownCount = UInt32(own.endpoints)
        pool.pointee.endpointPreferences.localShare = share.map { Float($0) }
        pool.pointee.endpointPreferences.forgetWarming()
        var until = UInt64.max
        if let slowStart = policy.pointee.slowStart, slowStart.window > 0 {
            if let share {
                until = hold(pool, policy, slowStart, side: true, share: share)
                until = min(until, hold(pool, policy, slowStart, side: false, share: 1 - share))
            } else {
                until = hold(pool, policy, slowStart, side: nil, share: 1)
            }
        }
        policy.pointee.prefers = share != nil || pool.pointee.endpointPreferences.warmingCount > 0
        return until
    }

    /// How often a share that grows is looked at again: a hundred times a window, and no more often than each turn of
    /// the wheel.
    private static let stepsOfWindow: UInt64 = 100

    /// Holds the endpoints back that are warming up, of one side of the zone's border (nil: of the pool as a whole),
    /// which has `share` of the attempts.
    private func hold(
        _ pool: UnsafeMutablePointer<WorkerPool>, _ policy: UnsafeMutablePointer<PoolPolicy>,
        _ settings: SlowStartSettings, side: Bool?, share: Double
    ) -> UInt64 {
        var greatest = 0.0
        var total = 0.0
        forEach(pool, policy, settings, side) { _, factor, weight in
            greatest = max(greatest, factor)
            total += factor * weight
        }
        var isCold = false
        forEach(pool, policy, settings, side) { index, factor, weight in
            isCold = isCold || factor < 1
            guard let held = SlowStart.share(factor: factor, weight: weight, greatest: greatest, total: total) else {
                return
            }
            pool.pointee.endpointPreferences.hold(index, to: held * share)
        }
        return isCold ? now &+ max(settings.window / Self.stepsOfWindow, 1_000_000) : .max
    }

    private func forEach(
        _ pool: UnsafeMutablePointer<WorkerPool>, _ policy: UnsafeMutablePointer<PoolPolicy>,
        _ settings: SlowStartSettings, _ side: Bool?, _ body: (Int, Double, Double) -> Void
    ) {
        for index in 0..<pool.pointee.endpointCount {
            guard policy.pointee.mask[index >> 6] >> UInt64(index & 63) & 1 != 0,
                side == nil || pool.pointee.endpointPreferences.isOwn(index) == side
            else { continue }
            let member = policy.pointee.members[index].pointee
            // Who was ejected is back since its time was up, though nobody may have noted that yet.
            let since = max(member.warmingSince, member.ejectedUntil)
            body(
                index, since == 0 ? 1 : SlowStart.factor(now: now, since: since, settings),
                Double(pool.pointee.endpoints[index].weight))
        }
    }

    /// Sets `eligible` for one request by what `weighPreferences` found.
    func markPreferred(
        _ pool: UnsafeMutablePointer<WorkerPool>, _ policy: UnsafeMutablePointer<PoolPolicy>
    ) -> UInt32 {
        let words = (pool.pointee.endpointCount + 63) >> 6
        var count = policy.pointee.count
        let stays = pool.pointee.endpointPreferences.staysLocal()
        let preferences = pool.pointee.endpointPreferences
        for word in 0..<words {
            let mask = policy.pointee.mask[word]
            eligible[word] =
                switch stays {
                case nil: mask
                case true?: mask & preferences.own[word]
                case false?: mask & ~preferences.own[word]
                }
        }
        if let stays { count = stays ? preferences.ownCount : count &- preferences.ownCount }
        for position in 0..<preferences.warmingCount where count > 1 {
            let index = preferences.warming[position]
            guard isEligible(index), !preferences.rations[Int(index)].allows else { continue }
            strike(index)
            count &-= 1
        }
        return count
    }

    /// An attempt begins: what those that are warming up may have grows by it.
    func noteAttempt(_ pool: UnsafeMutablePointer<WorkerPool>, _ picked: UInt32) {
        let preferences = pool.pointee.endpointPreferences
        for position in 0..<preferences.warmingCount {
            let index = preferences.warming[position]
            preferences.rations[Int(index)].attemptBegins(here: index == picked)
        }
    }
}
