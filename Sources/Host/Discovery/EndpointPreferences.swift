import Configuration
import Resilience

/// Which of a table's endpoints are in the gateway's own zone, and how much those may have that are warming up. Part of
/// an `EndpointTable`, one worker's own.
struct EndpointPreferences {
    /// Bit `i`: endpoint `i` is in the gateway's zone.
    let own: UnsafeMutablePointer<UInt64>
    /// By the endpoint's place.
    let rations: UnsafeMutablePointer<SlowStartRation>
    /// Places of those that are held back.
    let warming: UnsafeMutablePointer<UInt32>
    private(set) var warmingCount = 0
    /// Endpoints of the zone that may be picked.
    var ownCount: UInt32 = 0
    /// The share of requests that stays in the zone; nil: none is preferred.
    var localShare: Float?
    /// Reaches 1 when a request is to stay.
    private var localCredit: Float = 0

    init(_ list: [PoolEndpoint], zone: String) {
        let words = list.count / 64 + 1
        own = .allocate(capacity: words)
        own.initialize(repeating: 0, count: words)
        rations = .allocate(capacity: max(list.count, 1))
        rations.initialize(repeating: SlowStartRation(), count: max(list.count, 1))
        warming = .allocate(capacity: max(list.count, 1))
        for (index, entry) in list.enumerated() where !zone.isEmpty && entry.zone == zone {
            own[index >> 6] |= 1 << UInt64(index & 63)
        }
    }

    func deallocate() {
        own.deallocate()
        rations.deallocate()
        warming.deallocate()
    }

    func isOwn(_ index: Int) -> Bool { own[index >> 6] >> UInt64(index & 63) & 1 != 0 }

    mutating func forgetWarming() { warmingCount = 0 }

    /// Endpoint `index` may have `share` of the attempts.
    mutating func hold(_ index: Int, to share: Double) {
        rations[index].share = Float(share)
        warming[warmingCount] = UInt32(index)
        warmingCount &+= 1
    }

    /// Whether the next request stays in the zone; nil: none is preferred. The shares come out even, without luck.
    mutating func staysLocal() -> Bool? {
        guard let localShare else { return nil }
        localCredit += localShare
        guard localCredit >= 1 else { return false }
        localCredit -= 1
        return true
    }
}

/// Endpoints that come into a pool which others are in already. [main]
enum WarmUp {
    /// Begins the slow start of the endpoints that a pool has now and had not before, behind their first check where
    /// there are checks. Of a pool that had none all are alike, and nobody is to be spared.
    static func begin(_ list: [PoolEndpoint], after old: [PoolEndpoint], isChecked: Bool, now: UInt64) {
        guard !old.isEmpty else { return }
        let known = Set(old.map(\.endpoint))
        for entry in list where !known.contains(entry.endpoint) {
            entry.member.pointee.warmingSince = now
            if isChecked { entry.member.pointee.awaitCheck() }
        }
    }

    /// The same for all pools of a generation that is about to be in force.
    static func begin(_ generation: Generation, after old: Generation, now: UInt64) {
        for pool in generation.pools {
            guard let before = old.pools.first(where: { $0.shared == pool.shared }) else { continue }
            begin(pool.list, after: before.list, isChecked: generation.settings.checks(pool.model), now: now)
        }
    }
}

extension Settings {
    /// Whether the endpoints of a model are asked how they are.
    func checks(_ model: String) -> Bool { models.contains { $0.name == model && $0.healthCheck != nil } }

    /// The part of a pool's endpoints that this gateway speaks to: all, unless a subset is configured. It is taken in
    /// the order of addresses, so that all gateways of a fleet mean the same.
    func subset(of list: [PoolEndpoint], model name: String) -> [PoolEndpoint] {
        let own = models.first { $0.name == name }?.selection ?? Selection()
        guard let subset = own.or(selection).subset, let instance, list.count > subset.size else { return list }
        let sorted = list.map { (text: $0.endpoint.pointee.text.text, entry: $0) }.sorted { $0.text < $1.text }
        return Subsets.endpoints(of: sorted.count, size: subset.size, client: instance).map { sorted[$0].entry }
    }
}
