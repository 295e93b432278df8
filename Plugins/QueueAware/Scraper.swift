import Glibc
import LoadReports
import SluicePlugin
import Synchronization

/// Fetches the endpoints' pages of metrics on a thread of the host's pool, a few at a time, and writes what they say
/// into the pool's table. It outlives the instance that made it for as long as a round takes, and uses nothing of it.
final class Scraper: OffloadTarget, @unchecked Sendable {
    /// Sockets at one time: a round over 64 endpoints of which some are frozen takes four timeouts at worst, and their
    /// answers at most 16 times `max_bytes`.
    private static let atOnce = 16

    private let table: ReportTable
    private let options: ScrapeOptions
    private let queueNames: [KeptText]
    private let cacheNames: [KeptText]

    private let targets = Mutex<[ScrapeTarget]>([])
    private let isRunning = Atomic<Bool>(false)
    /// Milliseconds of the host's clock when the round began: what a page says is at least as new.
    private let startedAt = Atomic<UInt32>(0)
    private let names = NameLookups()

    /// Since the worker last looked.
    let pages = Atomic<Int>(0)
    let failures = Atomic<Int>(0)
    /// The latest failure, for the log.
    let problem = Mutex<String?>(nil)

    init(_ table: ReportTable, _ options: ScrapeOptions, queue: [KeptText], cache: [KeptText]) {
        self.table = table
        self.options = options
        queueNames = queue
        cacheNames = cache
    }

    /// Whom the next round asks.
    func set(_ list: [ScrapeTarget]) { targets.withLock { $0 = list } }

    /// False while a round is under way.
    func begin(at now: UInt32) -> Bool {
        guard !isRunning.exchange(true, ordering: .acquiringAndReleasing) else { return false }
        startedAt.store(now, ordering: .releasing)
        return true
    }

    /// The round that `begin` allowed will not come.
    func abandon() { isRunning.store(false, ordering: .releasing) }

    override func run() {
        var rest = targets.withLock { $0 }[...]
        while !rest.isEmpty {
            fetch(rest.prefix(Self.atOnce))
            rest = rest.dropFirst(Self.atOnce)
        }
        isRunning.store(false, ordering: .releasing)
    }

    // MARK: A round

    private func fetch(_ group: ArraySlice<ScrapeTarget>) {
        var fetches: [(target: ScrapeTarget, fetch: PageFetch)] = []
        for target in group {
            guard let place = address(of: target) else { continue }
            fetches.append(
                (target, PageFetch(target, to: place, path: options.path, maxBytes: options.maxBytes)))
        }
        let end = Self.milliseconds() + Int64(options.timeout)
        while true {
            let waiting = fetches.indices.filter { fetches[$0].fetch.events != nil }
            if waiting.isEmpty { break }
            let left = end - Self.milliseconds()
            guard left > 0 else {
                for index in waiting { fetches[index].fetch.fail("no whole page within \(options.timeout) ms") }
                break
            }
            var polled = waiting.map {
                pollfd(fd: fetches[$0].fetch.descriptor, events: fetches[$0].fetch.events ?? 0, revents: 0)
            }
            guard poll(&polled, nfds_t(polled.count), Int32(left)) > 0 else { continue }
            for (position, index) in waiting.enumerated() where polled[position].revents != 0 {
                fetches[index].fetch.advance()
            }
        }
        for (target, fetch) in fetches { settle(target, fetch) }
    }

    /// Of the monotonic clock: how long a round may take is no matter of the host's.
    private static func milliseconds() -> Int64 {
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        return Int64(now.tv_sec) * 1_000 + Int64(now.tv_nsec) / 1_000_000
    }

    /// Nil: there is none, or it is not known yet. No round waits for a resolver: it runs on a thread that others need.
    private func address(of target: ScrapeTarget) -> ResolvedAddress? {
        switch target.place {
        case .none(let why): note(target, why)
        case .unix(let path):
            if let address = ResolvedAddress(unixPath: path) { return address }
            note(target, "its path is too long")
        case .tcp(let host, let port):
            guard let found = names.addresses(of: host, port: port) else { return nil }
            if let address = found.first { return address }
            note(target, "its name has no address")
        }
        return nil
    }

    private func settle(_ target: ScrapeTarget, _ fetch: PageFetch) {
        switch fetch.state {
        case .done(let range):
            let said = fetch.answer.withUnsafeBytes { read(Bytes(UnsafeRawBufferPointer(rebasing: $0[range]))) }
            guard said.queue != nil || said.cache != nil else {
                return note(target, "its page has none of the metrics; are 'preset' and 'scrape.labels' right?")
            }
            let now = startedAt.load(ordering: .acquiring)
            let report = Report(queue: said.queue, cache: said.cache, time: now)
            if !table.write(report, at: target.slot, of: target.id, now: now),
                let slot = table.place(of: target.id, now: now)
            {
                _ = table.write(report, at: slot, of: target.id, now: now)
            }
            pages.wrappingAdd(1, ordering: .relaxed)
        case .failed(let why):
            // It may have moved.
            if case .tcp(let host, let port) = target.place { names.forget(host, port: port) }
            note(target, why)
        case .connecting, .reading: note(target, "nothing came")
        }
    }

    private func note(_ target: ScrapeTarget, _ why: String) {
        failures.wrappingAdd(1, ordering: .relaxed)
        problem.withLock { $0 = "metrics of \(target.address): \(why)" }
    }

    /// Queues of one name add up, as those of several engines in one server do; of caches the fullest counts. Of
    /// several names the first that is there.
    private func read(_ page: Bytes) -> (queue: Double?, cache: Double?) {
        var queues = [Double?](repeating: nil, count: queueNames.count)
        var caches = [Double?](repeating: nil, count: cacheNames.count)
        var text = MetricsText(page)
        while let sample = text.next() {
            if let index = queueNames.firstIndex(where: { $0 == sample.name }), counts(sample) {
                queues[index] = (queues[index] ?? 0) + sample.value
            } else if let index = cacheNames.firstIndex(where: { $0 == sample.name }), counts(sample) {
                caches[index] = max(caches[index] ?? 0, sample.value)
            }
        }
        return (queues.first { $0 != nil } ?? nil, caches.first { $0 != nil } ?? nil)
    }

    private func counts(_ sample: MetricsText.Sample) -> Bool {
        guard !sample.value.isNaN else { return false }
        return options.labels.allSatisfy { label in
            label.name.withBytes { name in label.value.withBytes { sample.has(name, $0) } }
        }
    }
}
