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
        var lastFailure = ""
        /// Nanoseconds of the monotonic clock when the latest set was told; 0: none was.
        var toldAt: UInt64 = 0
    }

    private let scheme: Settings.EndpointSettings.Scheme
    private let offload: OffloadPool
    private let inbox: ControlInbox
    private var mutex = pthread_mutex_t()
    private var condition = pthread_cond_t()
    private var news = News()
    private var isClosed = false
    /// Sets are numbered: one that had to wait for a resolver must not replace a newer one.
    private var told: UInt64 = 0
    private var taken: UInt64 = 0
    private var resolving = false
    private var unresolved: (set: EndpointSet, number: UInt64)?

    private let sinkPlace = UnsafeMutablePointer<sluice_endpoint_sink>.allocate(capacity: 1)
    private let sink2Place = UnsafeMutablePointer<sluice_endpoint_sink_2>.allocate(capacity: 1)

    init(scheme: Settings.EndpointSettings.Scheme, offload: OffloadPool, inbox: ControlInbox) {
        self.scheme = scheme
        self.offload = offload
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
        let mustResolve = !set.names.isEmpty
        let begins = locked { () -> Bool in
            guard !isClosed else { return false }
            told += 1
            news.sets += 1
            news.toldAt = clinux_monotonic_ns()
            guard mustResolve else {
                take(set, told, [:])
                return false
            }
            unresolved = (set, told)
            defer { resolving = true }
            return !resolving
        }
        if begins, !resolveSoon() {
            locked { resolving = false }
            fail("the gateway has too much blocking work queued to resolve the names of endpoints")
        }
        inbox.send(.discovered)
    }

    func fail(_ message: String) {
        locked {
            news.failures += 1
            news.lastFailure = message
            pthread_cond_broadcast(&condition)
        }
        inbox.send(.discovered)
    }

    private func take(_ set: EndpointSet, _ number: UInt64, _ addresses: [String: SocketAddress]) {
        guard number > taken else { return }
        taken = number
        news.set = set
        news.addresses = addresses
        pthread_cond_broadcast(&condition)
    }

    /// Names are resolved on a thread that may block, and not by who tells them: that may be anybody.
    private func resolveSoon() -> Bool {
        let job = Unmanaged.passRetained(self)
        let isQueued = offload.run(
            { Unmanaged<DiscoveryFeed>.fromOpaque($0.unsafelyUnwrapped).takeRetainedValue().resolve() },
            job.toOpaque())
        if !isQueued { job.release() }
        return isQueued
    }

    private func resolve() {
        while true {
            let next = locked { () -> (set: EndpointSet, number: UInt64)? in
                defer { unresolved = nil }
                if unresolved == nil || isClosed { resolving = false }
                return isClosed ? nil : unresolved
            }
            guard let next else { return }
            var set = next.set
            var addresses: [String: SocketAddress] = [:]
            var unknown: Set<String> = []
            for name in set.names {
                guard case .tcp(let host, let port) = name.target else { continue }
                if let address = SocketAddress.resolve(host: host, port: port) {
                    addresses[name.text] = address
                } else {
                    unknown.insert(name.text)
                }
            }
            set.drop(unknown)
            locked { take(set, next.number, addresses) }
            inbox.send(.discovered)
        }
    }

    // MARK: The control thread's side

    /// What came since the last look.
    func look() -> News {
        locked {
            defer {
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
        while news.set == nil, news.failures == 0 {
            let now = clinux_monotonic_ns()
            guard now < deadline else { return }
            // The condition's clock is the wall's: short waits, so that a step of it does no harm.
            var until = timespec()
            clock_gettime(CLOCK_REALTIME, &until)
            let next = UInt64(until.tv_nsec) + min(deadline - now, 50_000_000)
            until.tv_sec += Int(next / 1_000_000_000)
            until.tv_nsec = Int(next % 1_000_000_000)
            pthread_cond_timedwait(&condition, &mutex, &until)
        }
    }

    /// Nothing that comes from now on counts.
    func close() { locked { isClosed = true } }
}
