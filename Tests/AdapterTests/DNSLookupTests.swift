import DNSDiscoveryCodec
import Testing

/// Which endpoints a look makes of answers, and what it keeps when there are none.
@Suite struct DNSLookupTests {
    /// Answers from a table; what is not in it is answered with nothing.
    final class Zone {
        var answers: [DNSQuestion: Result<DNSAnswer.Outcome, DNSTrouble>] = [:]
        var ttl: UInt32 = 60
        private(set) var asked: [DNSQuestion] = []

        func set(_ name: String, _ type: DNSType, _ outcome: DNSAnswer.Outcome) {
            answers[DNSQuestion(name: name, type: type)] = .success(outcome)
        }

        func set(_ name: String, _ type: DNSType, trouble: DNSTrouble) {
            answers[DNSQuestion(name: name, type: type)] = .failure(trouble)
        }

        func ask(_ question: DNSQuestion) throws(DNSTrouble) -> DNSAnswer {
            asked.append(question)
            return DNSAnswer(try answers[question, default: .success(.nothing(exists: true))].get(), ttl: ttl)
        }
    }

    static let one = DNSAddress(octets: [10, 0, 0, 1])
    static let two = DNSAddress(octets: [10, 0, 0, 2])
    static let six = DNSAddress(octets: [UInt8](repeating: 0, count: 15) + [1])

    let zone = Zone()
    let both = DNSLookup.Kind.addresses([.a, .aaaa], port: 80)
    let services = DNSLookup.Kind.services(priorities: .best)

    func look(_ lookup: inout DNSLookup) throws -> [String: UInt32] {
        let found = try lookup.look { question throws(DNSTrouble) in try zone.ask(question) }
        return Dictionary(uniqueKeysWithValues: found.endpoints.map { ($0.address, $0.weight) })
    }

    @Test func bothKindsOfAddressesAreOnePool() throws {
        zone.set("iris.example", .a, .addresses([Self.two, Self.one]))
        zone.set("iris.example", .aaaa, .addresses([Self.six]))
        var lookup = DNSLookup(name: "Iris.example.", kind: both)
        #expect(try look(&lookup) == ["10.0.0.1:80": 1, "10.0.0.2:80": 1, "[::1]:80": 1])
    }

    @Test func aliasesLeadToOtherQuestionsAndNotForEver() throws {
        zone.set("iris.example", .a, .alias("b.example"))
        zone.set("b.example", .a, .addresses([Self.one]))
        var lookup = DNSLookup(name: "iris.example", kind: .addresses([.a], port: 80))
        #expect(try look(&lookup) == ["10.0.0.1:80": 1])
        zone.set("b.example", .a, .alias("iris.example"))
        #expect(throws: DNSTrouble.refusal("`iris.example` leads to more than 8 aliases")) { try look(&lookup) }
    }

    @Test func aKindThatCannotBeAskedIsAsItWas() throws {
        zone.set("iris.example", .a, .addresses([Self.one]))
        zone.set("iris.example", .aaaa, .addresses([Self.six]))
        var lookup = DNSLookup(name: "iris.example", kind: both)
        _ = try look(&lookup)
        zone.set("iris.example", .a, .addresses([Self.two]))
        zone.set("iris.example", .aaaa, trouble: .refusal("away"))
        for _ in 0..<2 {
            let found = try lookup.look { question throws(DNSTrouble) in try zone.ask(question) }
            #expect(found.endpoints.map(\.address) == ["10.0.0.2:80", "[::1]:80"])
            #expect(found.trouble == "away" && found.ttl == 60)
        }
        zone.set("iris.example", .a, trouble: .silence("gone"))
        #expect(throws: DNSTrouble.self) { try look(&lookup) }
        // It is known still, though that look failed.
        zone.set("iris.example", .a, .nothing(exists: true))
        #expect(try look(&lookup) == ["[::1]:80": 1])
    }

    @Test func theBestPriorityWithAnAddressServes() throws {
        zone.set(
            "_s._tcp.x", .srv,
            .services(
                [
                    DNSService(priority: 5, weight: 9, port: 3, target: "c.x"),
                    DNSService(priority: 1, weight: 1, port: 1, target: "a.x"),
                    DNSService(priority: 3, weight: 7, port: 2, target: "b.x"),
                ], known: ["b.x": [Self.one]]))
        var lookup = DNSLookup(name: "_s._tcp.x", kind: services)
        #expect(try look(&lookup) == ["10.0.0.1:2": 7])
        zone.set("a.x", .a, .addresses([Self.two]))
        #expect(try look(&lookup) == ["10.0.0.2:1": 1])
        // Backups are not asked for while they are none.
        #expect(!zone.asked.contains { $0.name == "c.x" })
        zone.set("c.x", .aaaa, .addresses([Self.six]))
        var all = DNSLookup(name: "_s._tcp.x", kind: .services(priorities: .all))
        #expect(try look(&all) == ["10.0.0.2:1": 1, "10.0.0.1:2": 7, "[::1]:3": 9])
    }

    @Test func aTargetThatCannotBeAskedKeepsItsAddresses() throws {
        let service = DNSService(priority: 1, weight: 1, port: 1, target: "a.x")
        zone.set("s.x", .srv, .services([service], known: [:]))
        zone.set("a.x", .a, .addresses([Self.one]))
        var lookup = DNSLookup(name: "s.x", kind: services)
        _ = try look(&lookup)
        zone.set("a.x", .a, trouble: .refusal("away"))
        #expect(try look(&lookup) == ["10.0.0.1:1": 1])
        // Nobody answers at all: nothing was learned.
        zone.set("a.x", .a, trouble: .silence("gone"))
        #expect(throws: DNSTrouble.silence("gone")) { try look(&lookup) }
    }

    @Test func nothingIsSaidWithItsReason() throws {
        zone.set("iris.example", .a, .nothing(exists: false))
        zone.ttl = 11
        var lookup = DNSLookup(name: "iris.example", kind: both)
        let found = try lookup.look { question throws(DNSTrouble) in try zone.ask(question) }
        #expect(found.endpoints.isEmpty && !found.exists && found.ttl == 11)
    }

    @Test func weightsAreTheSharesOfTheTargets() {
        func weights(_ list: [(UInt16, [DNSAddress])]) -> [String: UInt32] {
            ServiceWeights.endpoints(
                list.enumerated().map { index, entry in
                    (DNSService(priority: 0, weight: entry.0, port: UInt16(index + 1), target: "x"), entry.1)
                })
        }
        #expect(weights([(3, [Self.one]), (1, [Self.two])]) == ["10.0.0.1:1": 3, "10.0.0.2:2": 1])
        #expect(weights([(0, [Self.one]), (0, [Self.two])]) == ["10.0.0.1:1": 1, "10.0.0.2:2": 1])
        // A weight of 0 beside others is a small chance.
        #expect(weights([(0, [Self.one]), (2, [Self.two])]) == ["10.0.0.1:1": 1, "10.0.0.2:2": 200])
        #expect(weights([(1, [Self.one, Self.two]), (1, [Self.one])]).values.sorted() == [50, 50, 100])
        #expect(weights([(0, [Self.one, Self.two]), (0, [Self.one])]).values.sorted() == [50, 50, 100])
        // The largest stays within what a weight may be.
        #expect(weights([(65_535, [Self.one]), (0, [Self.two])]) == ["10.0.0.1:1": 65_535, "10.0.0.2:2": 1])
        #expect(weights([(1, [])]).isEmpty)
    }

    @Test func theNextLookComesWhenTheAnswerEnds() {
        var schedule = LookSchedule(least: 5, most: 60, retryAtMost: 8)
        #expect(schedule.succeeded(ttl: 0) == 5_000)
        #expect(schedule.succeeded(ttl: 30) == 30_000)
        #expect(schedule.succeeded(ttl: 4_000_000_000) == 60_000)
        #expect((0..<5).map { _ in schedule.failed(random: 0) } == [1_000, 2_000, 4_000, 8_000, 8_000])
        #expect(schedule.failed(random: 1) == 4_000)
        _ = schedule.succeeded(ttl: 1)
        #expect(schedule.failed(random: 0) == 1_000)
    }

    /// One kind of addresses may fail for days: the other is followed as its answers say.
    @Test func whatIsAnsweredIsFollowedWhileTheRestFails() {
        var schedule = LookSchedule(least: 1, most: 60, retryAtMost: 30)
        #expect((0..<4).map { _ in schedule.partlyFailed(ttl: 5, random: 0) } == [1_000, 2_000, 4_000, 5_000])
        #expect(schedule.partlyFailed(ttl: 0, random: 1) == 1_000)
        #expect(schedule.partlyFailed(ttl: 3_600, random: 0) == 30_000)
        _ = schedule.succeeded(ttl: 5)
        #expect(schedule.partlyFailed(ttl: 5, random: 1) == 500)
    }
}
