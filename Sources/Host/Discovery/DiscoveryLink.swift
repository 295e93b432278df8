import CLinux
import Configuration
import SluiceABI

/// One discovery of a generation: an instance of the plugin for one pool, and where it brings its sets. [main]
final class DiscoveryLink {
    /// Index among the generation's pools.
    let pool: Int
    let key: ModelVersionKey
    let settings: Settings.Discovery
    let feed: DiscoveryFeed
    private let instance: PluginInstance
    private let table: Table
    private var isStarted = false

    enum Table {
        case first(UnsafePointer<sluice_discovery>)
        case second(UnsafePointer<sluice_discovery_2>)
    }

    init(
        pool: Int, key: ModelVersionKey, settings: Settings.Discovery, feed: DiscoveryFeed,
        instance: PluginInstance, table: Table
    ) {
        self.pool = pool
        self.key = key
        self.settings = settings
        self.feed = feed
        self.instance = instance
        self.table = table
    }

    func start() {
        let (status, failure) = instance.context.onMain {
            switch table {
            case .first(let table): table.pointee.start.unsafelyUnwrapped(instance.pointer, feed.sink)
            case .second(let table): table.pointee.start.unsafelyUnwrapped(instance.pointer, feed.sink2)
            }
        }
        isStarted = status == SLUICE_OK
        if !isStarted {
            let reason = failure.map { ": \($0)" } ?? " with status \(status)"
            feed.fail("the plugin's start failed\(reason)")
        }
    }

    /// Nothing is told any more. More than one call is harmless.
    func stop() {
        guard isStarted else { return }
        isStarted = false
        feed.close()
        switch table {
        case .first(let table): table.pointee.stop.unsafelyUnwrapped(instance.pointer)
        case .second(let table): table.pointee.stop.unsafelyUnwrapped(instance.pointer)
        }
    }
}

/// What is known of the discoveries of pools across generations: a new one begins with the last set of the old. [main]
final class DiscoveryStore {
    final class State {
        /// The set in force; nil: none was told yet.
        fileprivate(set) var set: EndpointSet?
        fileprivate(set) var members: [PoolEndpoint] = []
        /// Sets that changed the pool, and sets told in all.
        fileprivate(set) var updates: UInt64 = 0
        fileprivate(set) var sets: UInt64 = 0
        fileprivate(set) var failures: UInt64 = 0
        fileprivate(set) var refused: UInt64 = 0
        /// Empty sets in whose place the last one was kept.
        fileprivate(set) var kept: UInt64 = 0
        /// When the set in force was told last, in nanoseconds of the monotonic clock; 0: never.
        fileprivate(set) var toldAt: UInt64 = 0
        /// What keeps the source from being followed; empty: nothing.
        fileprivate(set) var trouble = ""
        /// Since when the source is away, in nanoseconds of the monotonic clock; nil: it tells sets, though it may have
        /// something to complain of. The next generation's feed says nothing of it before its source has spoken.
        fileprivate var awaySince: UInt64?
        fileprivate var complaints: [String] = []
        /// Of the last set, how many found no room.
        fileprivate var withoutRoom = 0
    }

    private var states: [ModelVersionKey: State] = [:]

    func state(of key: ModelVersionKey) -> State {
        if let known = states[key] { return known }
        let state = State()
        states[key] = state
        return state
    }

    /// Forgets the pools that a new generation has no more.
    func keep(only keys: Set<ModelVersionKey>) { states = states.filter { keys.contains($0.key) } }

    var members: [PoolEndpoint] { states.values.flatMap(\.members) }
}

extension DiscoveryStore.State {
    /// Notes what a feed has brought. The set to be applied, if there is one.
    func note(_ news: DiscoveryFeed.News, _ whenEmpty: Settings.Discovery.WhenEmpty, _ label: String) -> EndpointSet? {
        sets += news.sets
        failures += news.failures
        if news.isAway {
            awaySince = awaySince ?? clinux_monotonic_ns()
        } else if news.sets > 0 {
            awaySince = nil
        }
        // A failure that a set came after is over.
        let isWell = news.lastFailure.isEmpty
        if news.failures > 0, !isWell { isTroubled(by: news.lastFailure, label) }
        guard let told = news.set else { return nil }
        refused += UInt64(told.refused.count)
        if told.refused != complaints {
            complaints = told.refused
            for complaint in told.refused.prefix(8) { HostLog.logger.warning("discovery of \(label): \(complaint)") }
            if told.refused.count > 8 {
                HostLog.logger.warning("discovery of \(label): \(told.refused.count - 8) more were refused")
            }
        }
        if told.members.isEmpty, whenEmpty == .keepLast {
            kept += 1
            if isWell { isTroubled(by: "the source names no endpoint; the last known ones are kept", label) }
            return nil
        }
        if isWell { recovered(label) }
        toldAt = news.toldAt
        return told.members == set?.members ? nil : told
    }

    private func isTroubled(by reason: String, _ label: String) {
        if trouble != reason { HostLog.logger.warning("discovery of \(label) is degraded: \(reason)") }
        trouble = reason
    }

    private func recovered(_ label: String) {
        if !trouble.isEmpty { HostLog.logger.notice("discovery of \(label): the source answers again") }
        trouble = ""
    }

    /// When the last set ends to be in force, in nanoseconds of the monotonic clock; nil: it does not. A source that is
    /// troubled and still tells sets is not away, however rarely it tells them.
    func expiry(_ settings: Settings.Discovery) -> UInt64? {
        guard let seconds = settings.keepLastSeconds, let awaySince, set?.members.isEmpty == false else { return nil }
        return max(awaySince, toldAt) + UInt64(seconds) * 1_000_000_000
    }

    /// The members of the last set that speak what the pool speaks now. A reload may have changed that: the others are
    /// the source's to tell anew.
    func members(of scheme: Settings.EndpointSettings.Scheme) -> [PoolEndpoint] {
        zip(set?.members ?? [], members).filter { $0.0.settings.scheme == scheme }.map(\.1)
    }

    /// Whether a pool that begins has anything to begin with: some endpoint, or the word that there is none.
    func isKnown(of scheme: Settings.EndpointSettings.Scheme) -> Bool {
        guard let set else { return false }
        return set.members.isEmpty || set.members.contains { $0.settings.scheme == scheme }
    }

    /// Addresses of the names in force, by the text of the endpoint.
    var addresses: [String: SocketAddress] {
        var addresses: [String: SocketAddress] = [:]
        for (known, member) in zip(set?.members ?? [], members) where !known.settings.isNumeric {
            addresses[known.settings.text] = member.endpoint.pointee.address
        }
        return addresses
    }

    /// - Parameters:
    ///   - told: what has a place: what was refused for want of room is tried again when it is told again.
    ///   - members: one for each member of the set.
    func applied(_ told: EndpointSet, _ members: [PoolEndpoint]) {
        set = told
        self.members = members
        updates += 1
    }

    /// So many endpoints of a set could not be taken for want of room. The same is not logged at each telling.
    func refuse(_ count: Int, _ label: String) {
        refused += UInt64(count)
        if count > 0, count != withoutRoom {
            HostLog.logger.warning(
                "discovery of \(label): no room for \(count) endpoints; at most \(EndpointRegistry.bound) are in use")
        }
        withoutRoom = count
    }
}
