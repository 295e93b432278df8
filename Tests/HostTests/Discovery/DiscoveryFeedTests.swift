import CLinux
import Configuration
import Dispatch
import Synchronization
import Testing

@testable import Host

/// As the process has them.
private func resolvers() -> OffloadPool { OffloadPool(name: "test-resolve", threads: 4, waiting: 1_024) }

/// What a source tells reaches the control thread once, with each name resolved when it comes and not again.
@Suite struct DiscoveryFeedTests {
    /// A resolver that counts, and knows nothing once it is away.
    final class Names: Sendable {
        private let state = Mutex((asked: [String: Int](), isAway: false))

        var asked: [String: Int] { state.withLock { $0.asked } }
        func goAway() { state.withLock { $0.isAway = true } }

        func resolve(_ host: String, _ port: UInt16) -> SocketAddress? {
            let isAway = state.withLock { state in
                state.asked[host, default: 0] += 1
                return state.isAway
            }
            return isAway ? nil : SocketAddress.numeric(host: "127.0.0.1", port: port)
        }
    }

    let inbox: ControlInbox
    let names = Names()

    init() throws { inbox = try #require(ControlInbox()) }

    func feed(_ whenEmpty: Settings.Discovery.WhenEmpty = .keepLast) -> DiscoveryFeed {
        let names = names
        return DiscoveryFeed(scheme: .http, whenEmpty: whenEmpty, resolvers: resolvers(), inbox: inbox) {
            names.resolve($0, $1)
        }
    }

    /// The hosts of the set that a telling ends in.
    func told(_ hosts: String..., by feed: DiscoveryFeed) -> [String] {
        feed.tell(hosts.map { ToldEndpoint(address: "\($0):80") })
        feed.waitForNews(until: clinux_monotonic_ns() + 60_000_000_000)
        let news = feed.look()
        let texts = news.set?.members.map(\.settings.text) ?? ["nothing came"]
        #expect(texts.allSatisfy { news.addresses[$0] != nil })
        return texts.map { String($0.dropFirst("http://".count).dropLast(":80".count)) }
    }

    @Test func aNameIsResolvedWhenItComesAndNotAgain() {
        let feed = feed()
        #expect(told("a.example", "b.example", by: feed) == ["a.example", "b.example"])
        #expect(told("a.example", "b.example", by: feed) == ["a.example", "b.example"])
        #expect(told("a.example", "b.example", "c.example", by: feed) == ["a.example", "b.example", "c.example"])
        #expect(names.asked == ["a.example": 1, "b.example": 1, "c.example": 1])
        // What has left is resolved anew when it is back.
        #expect(told("a.example", by: feed) == ["a.example"])
        #expect(told("a.example", "b.example", by: feed) == ["a.example", "b.example"])
        #expect(names.asked == ["a.example": 1, "b.example": 2, "c.example": 1])
    }

    @Test func aResolverThatIsAwayTakesNoKnownNameOut() {
        let feed = feed()
        #expect(told("a.example", by: feed) == ["a.example"])
        names.goAway()
        #expect(told("a.example", "b.example", by: feed) == ["a.example"])
        #expect(told("a.example", by: feed) == ["a.example"])
        #expect(names.asked == ["a.example": 1, "b.example": 1])
    }

    @Test func aGenerationBeginsWithTheAddressesOfTheLast() throws {
        names.goAway()
        let feed = feed()
        feed.know(["http://a.example:80": try #require(SocketAddress.numeric(host: "127.0.0.1", port: 80))])
        #expect(told("a.example", by: feed) == ["a.example"])
        #expect(names.asked.isEmpty)
    }

    @Test(arguments: Settings.Discovery.WhenEmpty.allCases)
    func anEmptySetLeavesAddressesWhereItLeavesEndpoints(_ whenEmpty: Settings.Discovery.WhenEmpty) {
        let feed = feed(whenEmpty)
        #expect(told("a.example", by: feed) == ["a.example"])
        #expect(told(by: feed) == [])
        #expect(told("a.example", by: feed) == ["a.example"])
        #expect(names.asked["a.example"] == (whenEmpty == .keepLast ? 1 : 2))
    }

    @Test func oneNoteIsEnoughUntilTheNextLook() {
        let feed = feed()
        for _ in 0..<3 { feed.tell([ToldEndpoint(address: "10.0.0.1:80")]) }
        feed.fail("away")
        #expect(inbox.take().count == 1)
        let news = feed.look()
        #expect(news.sets == 3 && news.failures == 1)
        feed.fail("away")
        #expect(inbox.take().count == 1)
        _ = feed.look()
        feed.close()
        feed.tell([ToldEndpoint(address: "10.0.0.2:80")])
        feed.fail("away")
        #expect(inbox.take().isEmpty)
        let rest = feed.look()
        #expect(rest.set == nil && rest.sets == 0 && rest.failures == 0)
    }

    @Test func noMoreNamesAreResolvedOnceItIsClosed() {
        let ended = DispatchSemaphore(value: 0)
        let closing = Closing()
        var feed: DiscoveryFeed? = Self.closedByItsResolver(closing, OnEnd(ended), inbox)
        closing.feed.withLock { $0 = feed }
        feed?.tell((0..<100).map { ToldEndpoint(address: "a\($0).example:80") })
        feed = nil
        ended.wait()
        #expect(closing.asked.withLock { $0 } == 1)
    }

    /// Whatever the resolver does, work of plugins goes on: a token is verified by it.
    @Test func aResolverThatDoesNotAnswerHoldsNoPluginUp() throws {
        let release = DispatchSemaphore(value: 0)
        let begun = DispatchSemaphore(value: 0)
        let environment = HostEnvironment(
            registry: try #require(MetricRegistry(workerCount: 1)), state: StateRegistry(), inbox: inbox,
            server: Settings.Server())
        let reference = Settings.PluginReference(name: "p", position: Position(file: "f", line: 1, column: 1))
        let settings = Settings.Discovery(plugin: reference, config: .scalar("", quoted: false, reference.position))
        let feeds = (0..<8).map { index in
            let feed = environment.feed(settings) { _, _ in
                begun.signal()
                release.wait()
                return nil
            }
            feed.tell(Self.hosts(["b\(index)"]))
            return feed
        }
        // As many as plugins have threads are stuck.
        for _ in 0..<2 { begun.wait() }
        let done = Done()
        let isQueued = environment.offload.run(
            { Unmanaged<Done>.fromOpaque($0.unsafelyUnwrapped).takeUnretainedValue().signal.signal() },
            Unmanaged.passUnretained(done).toOpaque())
        #expect(isQueued)
        #expect(done.signal.wait(timeout: .now() + 60) == .success)
        for _ in feeds { release.signal() }
        for feed in feeds { feed.waitForNews(until: clinux_monotonic_ns() + 60_000_000_000) }
    }

    final class Done: Sendable { let signal = DispatchSemaphore(value: 0) }

    /// The feed until the first question.
    final class Closing: Sendable {
        let feed = Mutex<DiscoveryFeed?>(nil)
        let asked = Mutex(0)
    }

    /// Signals when the feed that holds it is gone, and so the job that asks for its names.
    final class OnEnd: Sendable {
        let ended: DispatchSemaphore
        init(_ ended: DispatchSemaphore) { self.ended = ended }
        deinit { ended.signal() }
    }

    static func closedByItsResolver(_ closing: Closing, _ end: OnEnd, _ inbox: ControlInbox) -> DiscoveryFeed {
        DiscoveryFeed(scheme: .http, whenEmpty: .keepLast, resolvers: resolvers(), inbox: inbox) { _, _ in
            withExtendedLifetime(end) {
                closing.asked.withLock { $0 += 1 }
                let feed = closing.feed.withLock { feed in
                    defer { feed = nil }
                    return feed
                }
                feed?.close()
                return nil
            }
        }
    }

    /// A resolver that tells something to the feed while it is asked for a name, and knows those that begin with "a".
    final class Telling: Sendable {
        private let feed = Mutex<DiscoveryFeed?>(nil)
        private let asked = Mutex<[String]>([])
        private let tells: @Sendable (DiscoveryFeed, String) -> Void

        init(_ tells: @escaping @Sendable (DiscoveryFeed, String) -> Void) { self.tells = tells }

        var names: [String] { asked.withLock { $0 } }

        func feed(_ inbox: ControlInbox) -> DiscoveryFeed {
            let feed = DiscoveryFeed(scheme: .http, whenEmpty: .keepLast, resolvers: resolvers(), inbox: inbox) {
                [self] host, port in
                asked.withLock { $0.append(host) }
                if let feed = self.feed.withLock({ $0 }) { tells(feed, host) }
                return host.hasPrefix("a") ? SocketAddress.numeric(host: "127.0.0.1", port: port) : nil
            }
            self.feed.withLock { $0 = feed }
            return feed
        }

        func end() { feed.withLock { $0 = nil } }
    }

    static func hosts(_ names: some Sequence<String>) -> [ToldEndpoint] {
        names.map { ToldEndpoint(address: "\($0).example:80") }
    }

    @Test func aCorrectedSetDoesNotWaitForTheNamesOfTheOld() {
        let telling = Telling { feed, host in
            if host == "b1.example" { feed.tell(Self.hosts(["a0", "a1"])) }
        }
        let feed = telling.feed(inbox)
        defer { telling.end() }
        feed.tell(Self.hosts(["a0"] + (1...50).map { "b\($0)" }))
        feed.waitForNews(until: clinux_monotonic_ns() + 60_000_000_000)
        let news = feed.look()
        #expect(news.set?.members.map(\.settings.text) == ["http://a0.example:80", "http://a1.example:80"])
        // What was found for the old set is not asked for again.
        #expect(telling.names == ["a0.example", "b1.example", "a1.example"])
    }

    @Test func theSameSetOnceMoreChangesNothing() {
        let hosts = ["b1", "a1", "b2"]
        let telling = Telling { feed, host in
            if host == "b1.example" { feed.tell(Self.hosts(hosts)) }
        }
        let feed = telling.feed(inbox)
        defer { telling.end() }
        feed.tell(Self.hosts(hosts))
        feed.waitForNews(until: clinux_monotonic_ns() + 60_000_000_000)
        #expect(feed.look().set?.members.map(\.settings.text) == ["http://a1.example:80"])
    }

    /// Each look-up takes longer than the source needs to say something else.
    @Test func aSourceThatNeverSaysTheSameTwiceIsHeard() {
        let turn = Mutex(0)
        let looked = DispatchSemaphore(value: 0)
        let telling = Telling { feed, _ in
            let turn = turn.withLock { turn in
                turn += 1
                return turn
            }
            // By then a set must have come.
            if turn == 50 { looked.wait() }
            if turn < 50 { feed.tell(Self.hosts(["b1", "b2", "b3", "a\(turn % 2)"])) }
        }
        let feed = telling.feed(inbox)
        defer { telling.end() }
        feed.tell(Self.hosts(["b1", "b2", "b3", "a2"]))
        feed.waitForNews(until: clinux_monotonic_ns() + 60_000_000_000)
        #expect(feed.look().set?.members.isEmpty == false)
        looked.signal()
    }

    // MARK: What is noted of it

    /// What is in the way after a look at what a source said.
    func trouble(_ says: (DiscoveryFeed) -> Void) -> String {
        let feed = feed()
        let state = DiscoveryStore().state(of: ModelVersionKey(model: "m", version: "1"))
        feed.fail("before")
        _ = state.note(feed.look(), .keepLast, "m/1")
        #expect(state.trouble == "before")
        says(feed)
        _ = state.note(feed.look(), .keepLast, "m/1")
        return state.trouble
    }

    @Test func theLastWordOfASourceCounts() {
        let set = [ToldEndpoint(address: "10.0.0.1:80")]
        #expect(trouble { _ in } == "before")
        #expect(trouble { $0.tell(set) } == "")
        #expect(
            trouble {
                $0.fail("away")
                $0.tell(set)
            } == "")
        #expect(
            trouble {
                $0.tell(set)
                $0.fail("away")
            } == "away")
        #expect(
            trouble {
                $0.tell([])
                $0.fail("away")
            } == "away")
        #expect(
            trouble {
                $0.fail("away")
                $0.tell([])
            } == "the source names no endpoint; the last known ones are kept")
    }

    static func keeping(_ seconds: Int) -> Settings.Discovery {
        let reference = Settings.PluginReference(name: "p", position: Position(file: "f", line: 1, column: 1))
        var settings = Settings.Discovery(plugin: reference, config: .scalar("", quoted: false, reference.position))
        settings.keepLastSeconds = seconds
        return settings
    }

    /// A source that goes on telling sets with something to complain of may tell them less often than the last one is
    /// to be kept while it is away.
    @Test func onlyASourceThatIsAwayLosesItsSet() {
        let feed = feed()
        let state = DiscoveryStore().state(of: ModelVersionKey(model: "m", version: "1"))
        let settings = Self.keeping(10)
        func look() {
            if let set = state.note(feed.look(), .keepLast, "m/1") { state.applied(set, []) }
        }
        func complain() {
            feed.tell([ToldEndpoint(address: "10.0.0.1:80")])
            feed.fail("one of two questions fails")
        }
        complain()
        look()
        #expect(state.trouble == "one of two questions fails")
        #expect(state.expiry(settings) == nil)
        // Also when the control thread looks in between.
        feed.tell([ToldEndpoint(address: "10.0.0.1:80")])
        look()
        feed.fail("one of two questions fails")
        look()
        #expect(state.expiry(settings) == nil)
        // Nothing came before this one.
        feed.fail("nobody answers")
        look()
        #expect(state.expiry(settings).map { $0 >= state.toldAt + 10_000_000_000 } == true)
        complain()
        look()
        #expect(state.expiry(settings) == nil)
        feed.tell([ToldEndpoint(address: "10.0.0.1:80")])
        look()
        #expect(state.expiry(settings) == nil)
        // What comes long after a set is no complaint about it.
        feed.fail("nobody answers", now: clinux_monotonic_ns() + 2 * DiscoveryFeed.complaintWithin)
        look()
        #expect(state.expiry(settings) != nil)
    }
}
