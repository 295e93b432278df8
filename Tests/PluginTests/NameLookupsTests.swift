import Glibc
import SluicePlugin
import Synchronization
import Testing

/// A resolver that does not answer holds nobody up, and is not asked more than once.
@Suite struct NameLookupsTests {
    /// A resolver that answers when it is let go.
    final class Resolver: Sendable {
        private let asked = Mutex<[String]>([])
        private let gate = Gate()

        var names: [String] { asked.withLock { $0 } }

        func resolve(_ host: String, _ port: UInt16) -> [ResolvedAddress] {
            asked.withLock { $0.append(host) }
            gate.pass()
            return host.hasPrefix("a") ? ResolvedAddress.numeric(host: "127.0.0.1", port: port) : []
        }

        /// Lets so many questions be answered.
        func answer(_ count: Int) { gate.open(count) }
    }

    /// Passes as many as were let through, in any order of coming and letting.
    final class Gate: Sendable {
        private let ends: [Int32]
        init() {
            var ends: [Int32] = [-1, -1]
            _ = pipe(&ends)
            self.ends = ends
        }
        deinit { for end in ends { close(end) } }
        func open(_ count: Int) { _ = write(ends[1], [UInt8](repeating: 1, count: count), count) }
        func pass() {
            var byte: UInt8 = 0
            _ = read(ends[0], &byte, 1)
        }
    }

    let resolver = Resolver()
    /// Never says that it is time to stop: `poll` passes over a negative descriptor.
    let signal = StopSignal(descriptor: -1)

    func lookups(failureMs: UInt64 = 600_000) -> NameLookups {
        let resolver = resolver
        return NameLookups(failureMs: failureMs) { resolver.resolve($0, $1) }
    }

    func wait(_ lookups: NameLookups, _ host: String, milliseconds: Int = 60_000) -> [ResolvedAddress] {
        lookups.wait(for: host, port: 80, signal, milliseconds: milliseconds)
    }

    /// Asks again until something is known.
    func known(_ lookups: NameLookups, _ host: String) -> [ResolvedAddress] {
        let end = StopSignal.now + 60_000_000_000
        while StopSignal.now < end {
            if let known = lookups.addresses(of: host, port: 80) { return known }
            poll(nil, 0, 1)
        }
        Issue.record("no answer came")
        return []
    }

    let local = ResolvedAddress.numeric(host: "127.0.0.1", port: 80)

    @Test func aNumericAddressAsksNobody() {
        #expect(local.count == 1 && local[0].family == AF_INET)
        #expect(lookups().addresses(of: "127.0.0.1", port: 80) == local)
        #expect(lookups().addresses(of: "::1", port: 80)?.first?.family == AF_INET6)
        #expect(resolver.names.isEmpty)
    }

    @Test func aNameIsAskedForOnceHoweverLongItTakes() {
        let lookups = lookups()
        for _ in 0..<3 { #expect(lookups.addresses(of: "a.test", port: 80) == nil) }
        // Who waits gives up in his time, and leaves no question behind.
        for _ in 0..<3 { #expect(wait(lookups, "a.test", milliseconds: 1) == []) }
        resolver.answer(1)
        #expect(known(lookups, "a.test") == local)
        #expect(resolver.names == ["a.test"])
        // It is kept until it is forgotten.
        #expect(lookups.addresses(of: "a.test", port: 80) == local)
        lookups.forget("a.test", port: 80)
        #expect(lookups.addresses(of: "a.test", port: 80) == nil)
        resolver.answer(1)
        #expect(known(lookups, "a.test") == local)
        #expect(resolver.names == ["a.test", "a.test"])
    }

    @Test func whoWaitsIsToldAndAsksAnewTheNextTime() {
        let lookups = lookups()
        resolver.answer(3)
        #expect(wait(lookups, "a.test") == local)
        #expect(wait(lookups, "b.test") == [])
        #expect(wait(lookups, "a.test") == local)
        #expect(resolver.names == ["a.test", "b.test", "a.test"])
    }

    @Test func anAnswerThatComesLateIsTheNextOnes() {
        let lookups = lookups()
        #expect(wait(lookups, "a.test", milliseconds: 1) == [])
        #expect(wait(lookups, "a1.test", milliseconds: 1) == [])
        resolver.answer(2)
        #expect(wait(lookups, "a1.test") == local)
        #expect(wait(lookups, "a.test") == local)
        #expect(resolver.names == ["a.test", "a1.test"])
    }

    @Test func aNameThatNobodyKnowsIsNotAskedForAtOnce() {
        let patient = lookups()
        #expect(patient.addresses(of: "b.test", port: 80) == nil)
        resolver.answer(1)
        #expect(known(patient, "b.test") == [])
        #expect(patient.addresses(of: "b.test", port: 80) == [])
        #expect(resolver.names.count == 1)
        let hasty = lookups(failureMs: 0)
        #expect(hasty.addresses(of: "b.test", port: 80) == nil)
        resolver.answer(1)
        #expect(wait(hasty, "a.test", milliseconds: 0) == [])
        resolver.answer(8)
        #expect(wait(hasty, "a.test") == local)
        #expect(hasty.addresses(of: "b.test", port: 80) == nil)
    }

    @Test func whoIsToStopWaitsNoLonger() {
        var ends: [Int32] = [-1, -1]
        _ = pipe(&ends)
        var byte: UInt8 = 1
        _ = write(ends[1], &byte, 1)
        let lookups = lookups()
        #expect(
            lookups.wait(for: "a.test", port: 80, StopSignal(descriptor: ends[0]), milliseconds: 60_000) == [])
        for end in ends { close(end) }
        resolver.answer(1)
    }
}
