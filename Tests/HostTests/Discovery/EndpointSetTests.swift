import Configuration
import Testing

@testable import Host

@Suite struct EndpointSetTests {
    static func set(_ told: [ToldEndpoint], atMost: Int = 10) -> EndpointSet {
        EndpointSet(told, scheme: .http, atMost: atMost)
    }

    @Test func theOrderOfASourceIsNoChange() {
        let told = ["10.0.0.2:80", "10.0.0.1:80", "unix:/run/a"].map { ToldEndpoint(address: $0) }
        #expect(Self.set(told) == Self.set(told.reversed()))
        #expect(
            Self.set(told).members.map(\.settings.text) == ["http://10.0.0.1:80", "http://10.0.0.2:80", "unix:/run/a"])
    }

    @Test func weightsAreBoundedAndNoneDrains() {
        let set = Self.set([
            ToldEndpoint(address: "10.0.0.1:80", weight: 0), ToldEndpoint(address: "10.0.0.2:80", weight: .max),
        ])
        #expect(set.members.map(\.weight) == [65_535])
        #expect(set.refused.isEmpty)
    }

    /// However it is written, and also where one of the entries drains it: then they say two things.
    @Test(arguments: ["http://a.test:80", "http://a.test:80/", "http://a.test", "http://A.test", "A.TEST", "a.test:80"])
    func anEndpointThatStandsTwiceIsTold(_ address: String) {
        let cases: [(first: UInt32, second: UInt32, left: [UInt32])] = [
            (1, 2, [1]), (1, 0, [1]), (0, 1, []), (0, 0, []),
        ]
        for (first, second, left) in cases {
            let set = Self.set([
                ToldEndpoint(address: "a.test:80", weight: first), ToldEndpoint(address: address, weight: second),
                ToldEndpoint(address: "a.test:81", weight: 7),
            ])
            // The first of them counts.
            #expect(set.members.map(\.weight) == left + [7])
            #expect(set.refused == ["`\(address)` stands twice"])
        }
    }

    @Test(arguments: ["[::1]:80", "[0:0:0:0:0:0:0:1]:80", "http://[0::1]", "[::0:1]:80", "http://[::0001]:80/"])
    func anAddressOfIPv6IsOneHoweverItIsWritten(_ address: String) {
        let set = Self.set([
            ToldEndpoint(address: "http://[::1]:80"), ToldEndpoint(address: address), ToldEndpoint(address: "[::2]:80"),
            ToldEndpoint(address: "[::1]:81"),
        ])
        #expect(set.members.map(\.settings.text) == ["http://[::1]:80", "http://[::1]:81", "http://[::2]:80"])
        #expect(set.refused == ["`\(address)` stands twice"])
    }

    @Test func anAddressOfIPv4IsTheSameInIPv6() {
        let told = ["10.0.0.1:80", "[::ffff:10.0.0.1]:80", "[::ffff:a00:1]:80"].map { ToldEndpoint(address: $0) }
        let set = Self.set(told)
        #expect(set.members.count == 1)
        #expect(set.refused.count == 2)
    }

    @Test func whatIsNoAddressIsRefusedWithoutASecret() {
        let set = Self.set([
            ToldEndpoint(address: "http://me:secret@10.0.0.1:80"), ToldEndpoint(address: "https://10.0.0.1"),
            ToldEndpoint(address: "unix:run/a"), ToldEndpoint(address: ""), ToldEndpoint(address: "10.0.0.1:80"),
            ToldEndpoint(address: "http://10.0.0.1:80"),
        ])
        #expect(set.members.count == 1)
        #expect(set.refused.count == 5)
        #expect(!set.refused.contains { $0.contains("secret") })
    }

    @Test func whatIsRefusedDeceivesNoTerminal() {
        let address = "ftp://a\n\u{1B}[2J\u{202E}\u{200B}\u{2028}" + String(repeating: "x", count: 1_000)
        let set = Self.set([ToldEndpoint(address: address)])
        #expect(set.refused.count == 1)
        #expect(set.refused.allSatisfy { $0.unicodeScalars.allSatisfy(isPlain) && $0.count < 400 })
    }

    @Test func aPoolHasNoMoreThanItMay() {
        let set = Self.set((1...12).map { ToldEndpoint(address: "10.0.0.\($0):80") }, atMost: 5)
        #expect(set.members.count == 5)
        #expect(set.refused.count == 1)
    }

    @Test func onlyNamesAskAResolver() {
        var set = Self.set(["model.example:80", "10.0.0.1:80", "[::1]:80"].map { ToldEndpoint(address: $0) })
        #expect(set.names.map(\.text) == ["http://model.example:80"])
        set.drop(["http://model.example:80"])
        #expect(set.members.count == 2)
        #expect(set.refused.count == 1)
    }
}
