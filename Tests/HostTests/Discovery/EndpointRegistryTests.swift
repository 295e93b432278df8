import Configuration
import SluiceABI
import Testing

@testable import Host

/// Places of endpoints are used again, but not before nothing refers to them.
@Suite struct EndpointRegistryTests {
    static func settings(_ text: String) throws -> Settings.EndpointSettings {
        try Settings.EndpointSettings.discovered(text, scheme: .http).get()
    }

    @Test func aPlaceIsFreeWhenAllWorkersHaveForgottenIt() throws {
        let registry = EndpointRegistry(workerCount: 2)
        let first = try registry.endpoint(for: Self.settings("127.0.0.1:1")).get()
        let id = first.pointee.id
        registry.sweep(inUse: [], now: 0)
        #expect(registry.questions(now: EndpointRegistry.graceNs - 1).isEmpty)
        let questions = registry.questions(now: EndpointRegistry.graceNs)
        #expect(Set(questions.map(\.worker)) == [0, 1])
        #expect(registry.forgotten(questions[0]) == nil)
        // Who has not answered is asked again, and nobody else.
        let later = EndpointRegistry.graceNs + EndpointRegistry.askAgainNs
        #expect(registry.questions(now: later - 1).isEmpty)
        #expect(registry.questions(now: later).map(\.worker) == [questions[1].worker])
        #expect(registry.forgotten(questions[1]) == "http://127.0.0.1:1")
        #expect(registry.count == 0)
        let second = try registry.endpoint(for: Self.settings("127.0.0.1:2")).get()
        #expect(second == first)
        #expect(second.pointee.text.text == "http://127.0.0.1:2")
        #expect(second.pointee.id != id)
    }

    /// A plugin that keeps something by id must not take the next endpoint of a place for the one before.
    @Test func pluginsAreToldAnotherIdWhenAPlaceIsUsedAgain() throws {
        func told(_ endpoint: UnsafeMutablePointer<Endpoint>) -> UInt64 {
            let member = UnsafeMutablePointer<PoolMember>.allocate(capacity: 1)
            member.initialize(to: PoolMember())
            defer { member.deallocate() }
            let table = EndpointTable(
                [PoolEndpoint(endpoint: endpoint, member: member, weight: 1, zone: "", metrics: 0)], zone: "")
            defer { table.deallocate() }
            return table.endpoints[0].id
        }
        let registry = EndpointRegistry(workerCount: 1)
        let first = try registry.endpoint(for: Self.settings("127.0.0.1:1")).get()
        let id = told(first)
        #expect(id == first.pointee.id)
        registry.sweep(inUse: [], now: 0)
        for question in registry.questions(now: EndpointRegistry.graceNs) { _ = registry.forgotten(question) }
        let second = try registry.endpoint(for: Self.settings("127.0.0.1:2")).get()
        #expect(second == first)
        #expect(told(second) == second.pointee.id)
        #expect(told(second) != id)
    }

    @Test func whoComesBackKeepsItsPlace() throws {
        let registry = EndpointRegistry(workerCount: 1)
        let first = try registry.endpoint(for: Self.settings("127.0.0.1:1")).get()
        first.pointee.load.pointee.requests = 7
        registry.sweep(inUse: [], now: 0)
        let old = registry.questions(now: EndpointRegistry.graceNs)
        #expect(try registry.endpoint(for: Self.settings("127.0.0.1:1")).get() == first)
        #expect(first.pointee.load.pointee.requests == 7)
        registry.sweep(inUse: [], now: 5)
        // The answer to the first departure says nothing of the second.
        #expect(registry.forgotten(old[0]) == nil)
        #expect(registry.count == 1)
        registry.sweep(inUse: [first.pointee.index], now: 6)
        #expect(registry.nextQuestion == nil)
    }

    @Test func moreEndpointsThanPlacesPassThroughInTime() throws {
        let registry = EndpointRegistry(workerCount: 1)
        var now: UInt64 = 0
        for round in 0..<3 {
            for index in 0..<EndpointRegistry.bound {
                let text = "10.\(round).\(index >> 8).\(index & 255):80"
                _ = try registry.endpoint(for: Self.settings(text)).get()
            }
            #expect(throws: EndpointRegistry.Failure.self) {
                try registry.endpoint(for: Self.settings("10.9.9.9:80")).get()
            }
            registry.sweep(inUse: [], now: now)
            let due = now + EndpointRegistry.graceNs
            now = due
            while registry.count > 0, now - due < 11_000_000_000 {
                for question in registry.questions(now: now) { _ = registry.forgotten(question) }
                now += EndpointRegistry.turnNs
            }
            #expect(registry.count == 0)
        }
        #expect(registry.endpoints.count == EndpointRegistry.bound)
    }

    @Test func workersAreAskedAboutAFewInATurn() throws {
        let registry = EndpointRegistry(workerCount: 2)
        let count = 3 * EndpointRegistry.askedAtMost + 1
        for index in 0..<count { _ = try registry.endpoint(for: Self.settings("127.0.0.1:\(index + 1)")).get() }
        registry.sweep(inUse: [], now: 0)
        var now = EndpointRegistry.graceNs
        var asked: Set<Int> = []
        // Nobody answers: who is due again must not come before who was not asked yet.
        for turn in 1...4 {
            #expect(registry.nextQuestion == now)
            let questions = registry.questions(now: now)
            let indices = Set(questions.map(\.index))
            #expect(indices.count == (turn < 4 ? EndpointRegistry.askedAtMost : 1))
            #expect(questions.count == 2 * indices.count)
            #expect(asked.isDisjoint(with: indices))
            asked.formUnion(indices)
            #expect(registry.questions(now: now + EndpointRegistry.turnNs - 1).isEmpty)
            now += EndpointRegistry.turnNs
        }
        #expect(asked.count == count)
        #expect(registry.nextQuestion == EndpointRegistry.graceNs + EndpointRegistry.askAgainNs)
    }

    @Test func whatFoundNoRoomIsTriedAgain() throws {
        let registry = EndpointRegistry(workerCount: 1)
        for index in 0..<EndpointRegistry.bound - 1 {
            _ = try registry.endpoint(for: Self.settings("10.0.\(index >> 8).\(index & 255):80")).get()
        }
        let told = EndpointSet(
            ["10.0.0.0:80", "10.9.9.1:80", "10.9.9.2:80"].map { ToldEndpoint(address: $0) }, scheme: .http, atMost: 10)
        let (taken, endpoints) = registry.places(for: told, addresses: [:])
        #expect(taken.members.map(\.settings.text) == ["http://10.0.0.0:80", "http://10.9.9.1:80"])
        #expect(endpoints.map(\.pointee.text.text) == ["http://10.0.0.0:80", "http://10.9.9.1:80"])
        let state = DiscoveryStore().state(of: ModelVersionKey(model: "m", version: "1"))
        let news = DiscoveryFeed.News(set: told, sets: 1)
        #expect(state.note(news, .keepLast, "m/1") == told)
        state.applied(taken, [])
        // The same set is no news, but for those that have no place yet.
        #expect(state.note(news, .keepLast, "m/1") == told)
        state.applied(told, [])
        #expect(state.note(news, .keepLast, "m/1") == nil)
    }
}
