import CLinux
import Glibc
import Configuration
import SluiceABI

/// Where one discovery instance brings its sets: what stands behind its sink. It keeps the latest set alone, so that a
/// plugin that tells more often than the control thread looks costs no memory. [any]
final class DiscoveryFeed: @unchecked Sendable {
    /// What was told since the last look.
    struct News {
        /// The latest set, its names resolved; nil: none was told.
        var set: EndpointSet?
        /// Addresses by the text of an endpoint whose host is a name.
        var addresses: [String: SocketAddress] = [:]
        /// How often a set was told, and how often the source failed.
        var sets: UInt64 = 0
        var failures: UInt64 = 0
        /// Empty when a set was told after the last failure.
        var lastFailure = ""
        /// Nanoseconds of the monotonic clock when the latest set was told; 0: none was.
        var toldAt: UInt64 = 0
        /// The last failure was no complaint about a set: the source is away, until it tells one.
        var isAway = false
    }

    /// What a plugin says so soon after a set, in nanoseconds, belongs to it: a source of which a part fails is not
    /// away. Both are said in one go; a second is far more than the thread that does so waits for its turn. Who
    /// is away says so again.
    static let complaintWithin: UInt64 = 1_000_000_000

    typealias Resolver = @Sendable (_ host: String, _ port: UInt16) -> SocketAddress?

    static let systemResolver: Resolver = { SocketAddress.resolve(host: $0, port: $1) }

    private let scheme: Settings.EndpointSettings.Scheme
    private let whenEmpty: Settings.Discovery.WhenEmpty
    private let resolver: Resolver
    private let resolvers: OffloadPool
    private let inbox: ControlInbox
    private var mutex = pthread_mutex_t()
    private var condition = pthread_cond_t()
    private var news = News()
    private var isClosed = false
    /// The control thread was told that there is news, and has not looked since: one note is enough.
    private var isAnnounced = false
    /// Addresses of the names in the last set. Its endpoints have their places, so that another answer of the resolver
    /// would not count for them, and a resolver that is away must not take them out.
    private var known: [String: SocketAddress] = [:]
    /// Sets are numbered: one that had to wait for a resolver must not replace a newer one.
    private var told: UInt64 = 0
    private var taken: UInt64 = 0
    private var resolving = false
    private var unresolved: (set: EndpointSet, number: UInt64)?

    private let sinkPlace = UnsafeMutablePointer<sluice_endpoint_sink>.allocate(capacity: 1)
    private let sink2Place = UnsafeMutablePointer<sluice_endpoint_sink_2>.allocate(capacity: 1)

    init(
        scheme: Settings.EndpointSettings.Scheme, whenEmpty: Settings.Discovery.WhenEmpty, resolvers: OffloadPool,
        inbox: ControlInbox, resolver: @escaping Resolver
    ) {
        self.scheme = scheme
        self.whenEmpty = whenEmpty
        self.resolver = resolver
        self.resolvers = resolvers
        self.inbox = inbox
        pthread_mutex_init(&mutex, nil)
        pthread_cond_init(&condition, nil)
        sinkPlace.initialize(to: sluice_endpoint_sink())
        sink2Place.initialize(to: sluice_endpoint_sink_2())
        fillSinks()
    }

    deinit {
        sinkPlace.deallocate()
        sink2Place.deallocate()
    }

    var sink: UnsafePointer<sluice_endpoint_sink> { UnsafePointer(sinkPlace) }
    var sink2: UnsafePointer<sluice_endpoint_sink_2> { UnsafePointer(sink2Place) }

    private func fillSinks() {
        let context = Unmanaged.passUnretained(self).toOpaque()
        sinkPlace.pointee.struct_size = UInt32(MemoryLayout<sluice_endpoint_sink>.size)
        sinkPlace.pointee.context = context
        sinkPlace.pointee.set = { context, addresses, weights, count in
            var told: [ToldEndpoint] = []
            for index in 0..<Int(count) {
                guard let address = addresses?[index] else { break }
                told.append(ToldEndpoint(address: address.text, weight: weights?[index] ?? 1))
            }
            DiscoveryFeed.from(context)?.tell(told)
        }
        sink2Place.pointee.struct_size = UInt32(MemoryLayout<sluice_endpoint_sink_2>.size)
        sink2Place.pointee.context = context
        sink2Place.pointee.set = { context, endpoints, count in
            var told: [ToldEndpoint] = []
            for index in 0..<Int(count) {
                guard let endpoint = endpoints?[index] else { break }
                told.append(
                    ToldEndpoint(
                        address: endpoint.address.text, weight: endpoint.weight, zone: endpoint.zone.text))
            }
            DiscoveryFeed.from(context)?.tell(told)
        }
        sink2Place.pointee.failed = { context, message in
            DiscoveryFeed.from(context)?.fail(String(message.text.prefix(1_024)))
        }
    }

    private static func from(_ context: UnsafeMutableRawPointer?) -> DiscoveryFeed? {
        context.map { Unmanaged<DiscoveryFeed>.fromOpaque($0).takeUnretainedValue() }
    }

    private func locked<Result>(_ body: () -> Result) -> Result {
        pthread_mutex_lock(&mutex)
        defer { pthread_mutex_unlock(&mutex) }
        return body()
    }

    // MARK: The plugin's side

    func tell(_ endpoints: [ToldEndpoint]) {
        let set = EndpointSet(endpoints, scheme: scheme, atMost: Worker.endpointsAtMost)
        let names = set.names
        let (begins, announces) = locked { () -> (Bool, Bool) in
            guard !isClosed else { return (false, false) }
            told += 1
            news.sets += 1
            news.lastFailure = ""
            news.isAway = false
            news.toldAt = clinux_monotonic_ns()
            guard names.contains(where: { known[$0.text] == nil }) else {
                unresolved = nil
                take(set, told, names, [:])
                return (false, announce())
            }
            unresolved = (set, told)
            defer { resolving = true }
            return (!resolving, announce())
        }
        if begins, !resolveSoon() {
            locked { resolving = false }
            fail("too many pools wait for the names of their endpoints to be resolved")
        }
        if announces { inbox.send(.discovered) }
    }

    /// `now`: nanoseconds of the monotonic clock.
    func fail(_ message: String, now: UInt64 = clinux_monotonic_ns()) {
        let announces = locked { () -> Bool in
            guard !isClosed else { return false }
            // After another failure it is no complaint about the set before that.
            let followsSet = news.toldAt != 0 && news.lastFailure.isEmpty
            if !followsSet || now > news.toldAt + Self.complaintWithin { news.isAway = true }
            news.failures += 1
            news.lastFailure = message
            pthread_cond_broadcast(&condition)
            return announce()
        }
        if announces { inbox.send(.discovered) }
    }

    /// Whether the control thread is to be told of news now. Under the lock.
    private func announce() -> Bool {
        defer { isAnnounced = true }
        return !isAnnounced
    }

    /// - Parameters:
    ///   - names: those of the set, and no others stay known.
    ///   - found: addresses that are new.
    private func take(
        _ set: EndpointSet, _ number: UInt64, _ names: [Settings.EndpointSettings], _ found: [String: SocketAddress]
    ) {
        guard number > taken else { return }
        taken = number
        // Where an empty set leaves the last one in force, so it does its addresses.
        if !set.members.isEmpty || whenEmpty == .empty {
            var kept: [String: SocketAddress] = [:]
            for name in names { kept[name.text] = found[name.text] ?? known[name.text] }
            known = kept
        }
        news.set = set
        news.addresses = known
        pthread_cond_broadcast(&condition)
    }

    /// Names are resolved on a thread that may block, and not by who tells them: that may be anybody.
    private func resolveSoon() -> Bool {
        let job = Unmanaged.passRetained(self)
        let isQueued = resolvers.run(
            { Unmanaged<DiscoveryFeed>.fromOpaque($0.unsafelyUnwrapped).takeRetainedValue().resolve() },
            job.toOpaque())
        if !isQueued { job.release() }
        return isQueued
    }

    private func resolve() {
        // Names that were asked for since this began and have no address.
        var failed: Set<String> = []
        while true {
            let next = locked { () -> (set: EndpointSet, number: UInt64)? in
                defer { unresolved = nil }
                if unresolved == nil || isClosed { resolving = false }
                return isClosed ? nil : unresolved
            }
            guard let next else { return }
            var set = next.set
            let names = set.names
            var found: [String: SocketAddress] = [:]
            guard let unknown = lookUp(names, of: set, &found, &failed) else {
                locked { known.merge(found) { $1 } }
                continue
            }
            set.drop(unknown)
            let announces = locked { () -> Bool in
                guard !isClosed else { return false }
                take(set, next.number, names, found)
                return announce()
            }
            if announces { inbox.send(.discovered) }
        }
    }

    /// Asks for the names that are not known: each may take the resolver seconds. The texts of those that have no
    /// address; nil: another set has come meanwhile, which is not to wait for the names of this one.
    private func lookUp(
        _ names: [Settings.EndpointSettings], of set: EndpointSet, _ found: inout [String: SocketAddress],
        _ failed: inout Set<String>
    ) -> Set<String>? {
        var missing = locked { names.filter { known[$0.text] == nil } }
        // Those that have just failed come last: with each set that is left, one name more has been asked for, so that
        // also a source that says something else again and again comes to a set that is taken.
        let again = missing.filter { failed.contains($0.text) }
        missing = missing.filter { !failed.contains($0.text) } + again
        var unknown: Set<String> = []
        for (position, name) in missing.enumerated() {
            guard case .tcp(let host, let port) = name.target else { continue }
            let (isOver, isOld) = locked { (isClosed, unresolved.map { $0.set != set } ?? false) }
            if isOver { break }
            if isOld, position > 0 {
                guard failed.contains(name.text) else { return nil }
                unknown.formUnion(missing[position...].map(\.text))
                break
            }
            if let address = resolver(host, port) {
                found[name.text] = address
                failed.remove(name.text)
            } else {
                unknown.insert(name.text)
                failed.insert(name.text)
            }
        }
        return unknown
    }

    // MARK: The control thread's side

    /// Addresses of names that stay as they are: of the set that a generation begins with.
    func know(_ addresses: [String: SocketAddress]) { locked { known = addresses } }

    /// What came since the last look.
    func look() -> News {
        locked {
            defer {
                isAnnounced = false
                news.set = nil
                news.addresses = [:]
                news.sets = 0
                news.failures = 0
            }
            return news
        }
    }

    /// Waits until the source has said anything, or until `deadline`, in nanoseconds of the monotonic clock.
    func waitForNews(until deadline: UInt64) {
        pthread_mutex_lock(&mutex)
        defer { pthread_mutex_unlock(&mutex) }
        while news.set == nil, news.failures == 0, clinux_monotonic_ns() < deadline {
            waitBriefly(&condition, &mutex, until: deadline)
        }
    }

    /// Nothing that comes from now on counts.
    func close() { locked { isClosed = true } }
}
