import Glibc
import Synchronization
import Testing

@testable import Host

/// Names of endpoints are asked for at once.
@Suite struct HostNamesTests {
    private static func names(_ count: Int) -> Set<HostNames.Name> {
        Set((0..<count).map { HostNames.Name(host: "host\($0).test", port: 80) })
    }

    private static let found = HostNames.Answer.success(
        SocketAddress.numeric(host: "127.0.0.1", port: 80) ?? SocketAddress())

    /// None of them has an answer before all are asked.
    @Test func namesAreAskedSideBySide() {
        let count = HostNames.threads
        let asked = Tally()
        let answers = HostNames.answers(to: Self.names(count), patience: 60_000_000_000) { _ in
            asked.count.wrappingAdd(1, ordering: .relaxed)
            while asked.count.load(ordering: .relaxed) < count { poll(nil, 0, 1) }
            return Self.found
        }
        #expect(answers.count == count)
        #expect(answers.values.allSatisfy { (try? $0.get()) != nil })
    }

    @Test func moreNamesThanThreadsAllHaveAnAnswer() {
        let answers = HostNames.answers(to: Self.names(100)) {
            $0.host == "host7.test" ? .failure(.unknown) : Self.found
        }
        #expect(answers.count == 100)
        #expect(answers.filter { (try? $0.value.get()) == nil }.map(\.key.host) == ["host7.test"])
        #expect(HostNames.answers(to: []) { _ in Self.found }.isEmpty)
    }

    /// And whoever waits for the resolver beyond its time goes on without it.
    @Test func aResolverThatIsSilentHoldsNobodyForLong() {
        let release = Tally()
        let answers = HostNames.answers(to: Self.names(3), patience: 20_000_000) { name in
            if name.host == "host1.test" { return Self.found }
            while release.count.load(ordering: .relaxed) == 0 { poll(nil, 0, 1) }
            return Self.found
        }
        release.count.store(1, ordering: .relaxed)
        for (name, answer) in answers {
            guard case .failure(let failure) = answer else {
                #expect(name.host == "host1.test")
                continue
            }
            #expect(failure == .noAnswer)
        }
        #expect(answers.count == 3)
    }

    @Test func whatIsNoNameIsUnknown() {
        guard case .failure(let failure) = SocketAddress.lookUp(host: "no name at all", port: 80) else {
            Issue.record("it has an address")
            return
        }
        #expect(failure == .unknown || failure == .noAnswer)
    }

    private final class Tally: Sendable {
        let count = Atomic<Int>(0)
    }
}
