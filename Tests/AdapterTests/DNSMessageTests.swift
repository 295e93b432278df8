import DNSDiscoveryCodec
import Testing

/// A response in bytes, made by hand.
struct WrittenResponse {
    var id: UInt16 = 7
    var flags: UInt16 = 0x8180
    var question: (String, UInt16)? = ("iris.example", 1)
    var answers: [[UInt8]] = []
    var authority: [[UInt8]] = []
    var additional: [[UInt8]] = []

    static func number(_ value: Int) -> [UInt8] { [UInt8(value >> 8 & 255), UInt8(value & 255)] }

    static func name(_ text: String) -> [UInt8] {
        text.split(separator: ".").flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) } + [0]
    }

    static func record(
        _ owner: String, _ type: Int, ttl: UInt32 = 60, _ data: [UInt8], class classNumber: Int = 1
    ) -> [UInt8] {
        let numbers = [type, classNumber, Int(ttl >> 16), Int(ttl & 0xFFFF), data.count]
        return name(owner) + numbers.flatMap(number) + data
    }

    static func service(
        _ owner: String, _ priority: Int, _ weight: Int, _ port: Int, _ target: String, ttl: UInt32 = 60
    ) -> [UInt8] {
        record(owner, 33, ttl: ttl, number(priority) + number(weight) + number(port) + name(target))
    }

    static func zone(minimum: Int, ttl: UInt32 = 60) -> [UInt8] {
        let numbers = [0, 1, 0, 2, 0, 3, 0, 4, minimum >> 16, minimum & 0xFFFF].flatMap(number)
        return record("example", 6, ttl: ttl, name("ns.example") + name("root.example") + numbers)
    }

    var bytes: [UInt8] {
        let counts = [question == nil ? 0 : 1, answers.count, authority.count, additional.count]
        var bytes = Self.number(Int(id)) + Self.number(Int(flags)) + counts.flatMap(Self.number)
        if let question { bytes += Self.name(question.0) + Self.number(Int(question.1)) + Self.number(1) }
        return bytes + (answers + authority + additional).flatMap { $0 }
    }

    func answer(_ type: DNSType = .a) throws -> DNSAnswer {
        let asked = question ?? ("", 0)
        return DNSAnswer(try DNSMessage.response(bytes), to: DNSQuestion(name: asked.0, type: type))
    }
}

@Suite struct DNSMessageTests {
    typealias Written = WrittenResponse

    @Test func aQueryIsWhatTheProtocolSays() {
        let plain: [UInt8] = [0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0x61, 2, 0x62, 0x63, 0, 0, 33, 0, 1]
        #expect(DNSMessage.query(id: 0x1234, DNSQuestion(name: "A.bc.", type: .srv), edns: false) == plain)
        var extended = plain
        extended[11] = 1
        extended += [0, 0, 41, 0x04, 0xD0, 0, 0, 0, 0, 0, 0]
        #expect(DNSMessage.query(id: 0x1234, DNSQuestion(name: "a.bc", type: .srv), edns: true) == extended)
    }

    @Test(arguments: [
        "", ".", "a..b", ".a", "a b", "a\u{e4}", "a\\b", String(repeating: "a", count: 64),
        String(repeating: "a.", count: 127) + "a",
    ])
    func whatIsNoNameIsNotAsked(_ name: String) {
        #expect(DNSMessage.query(id: 1, DNSQuestion(name: name, type: .a), edns: true) == nil)
    }

    @Test func onlyTheAnswerToTheQuestionIsOne() throws {
        let question = DNSQuestion(name: "Iris.Example", type: .a)
        var written = Written()
        #expect(try DNSMessage.response(written.bytes).isTo(question, id: 7))
        #expect(try !DNSMessage.response(written.bytes).isTo(question, id: 8))
        #expect(try !DNSMessage.response(written.bytes).isTo(DNSQuestion(name: "iris.example", type: .aaaa), id: 7))
        #expect(try !DNSMessage.response(written.bytes).isTo(DNSQuestion(name: "other.example", type: .a), id: 7))
        // A refusal may leave the question out, an answer may not, and "no such name" is an answer.
        written.question = nil
        #expect(try !DNSMessage.response(written.bytes).isTo(question, id: 7))
        written.flags = 0x8183
        #expect(try !DNSMessage.response(written.bytes).isTo(question, id: 7))
        written.flags = 0x8181
        #expect(try DNSMessage.response(written.bytes).isTo(question, id: 7))
    }

    @Test(arguments: [0x0180, 0x8980]) func whatIsNoResponseToAStandardQueryIsRefused(_ flags: UInt16) {
        #expect(throws: DNSFault.self) { try DNSMessage.response(Written(flags: flags).bytes) }
    }

    @Test func everyCutOfAResponseIsRefused() throws {
        let whole = Written(
            answers: [
                Written.record("iris.example", 1, [10, 0, 0, 1]), Written.service("a.example", 1, 2, 3, "b.example"),
            ],
            authority: [Written.zone(minimum: 5)], additional: [Written.record("", 41, [], class: 1_232)]
        ).bytes
        #expect(throws: Never.self) { try DNSMessage.response(whole) }
        for count in 0..<whole.count {
            #expect(throws: DNSFault.self) { try DNSMessage.response(Array(whole[..<count])) }
        }
    }

    @Test func recordsEndWhereTheySay() {
        // An alias and a service whose name goes on behind their data.
        let cut: [(Int, [UInt8])] = [
            (5, [1]), (2, [1]), (33, [0, 1, 0, 2, 0, 3, 1]), (1, [10, 0, 0]), (28, [10, 0, 0, 1]),
        ]
        for (type, data) in cut {
            let bytes = Written(answers: [Written.record("iris.example", type, data)]).bytes + Written.name("x")
            #expect(throws: DNSFault.self) { try DNSMessage.response(bytes) }
        }
    }

    @Test func pointersLeadBackwardsOnly() throws {
        // The answer's owner is a pointer to the question's name.
        let head = Written().bytes
        let rest = Array(Written.record("", 1, [10, 0, 0, 1]).dropFirst())
        func response(_ owner: [UInt8]) throws -> DNSResponse {
            var bytes = head + owner + rest
            bytes[7] = 1
            return try DNSMessage.response(bytes)
        }
        #expect(try response([0xC0, 12]).answers.first?.name == "iris.example")
        #expect(try response([1, 0x58, 0xC0, 12]).answers.first?.name == "x.iris.example")
        let own = head.count
        let forward: [[UInt8]] = [
            [0xC0, UInt8(own)], [1, 0x58, 0xC0, UInt8(own)], [0xC0, UInt8(own + 2)], [0xC0, 255], [0x80, 1],
        ]
        for owner in forward {
            #expect(throws: DNSFault.self) { try response(owner) }
        }
    }

    @Test func aNameIsNotTakenForAnother() throws {
        // A dot within a label, and octets beyond ASCII.
        let labels: [UInt8] = [12] + Array("iris.example".utf8) + [0]
        let rest = Array(Written.record("", 1, [10, 0, 0, 1]).dropFirst())
        #expect(try Written(answers: [labels + rest]).answer().outcome == .nothing(exists: true))
        let odd: [UInt8] = [2, 0xFF, 0x5C, 0] + rest
        let read = try DNSMessage.response(Written(answers: [odd]).bytes)
        #expect(read.answers.first?.name == "\\255\\092")
    }

    @Test func theUpperBitsOfTheCodeCount() throws {
        let options = Written.record("", 41, ttl: 1 << 24, [], class: 1_232)
        #expect(try DNSMessage.response(Written(additional: [options]).bytes).code == 16)
    }

    @Test func addressesAreWrittenAsPeopleDo() {
        func six(_ groups: [Int]) -> String { DNSAddress(octets: groups.flatMap(Written.number)).text }
        #expect(DNSAddress(octets: [10, 0, 200, 1]).text(port: 80) == "10.0.200.1:80")
        #expect(six([0x2001, 0xDB8, 0, 0, 1, 0, 0, 1]) == "2001:db8::1:0:0:1")
        #expect(six([0, 0, 0, 0, 0, 0, 0, 1]) == "::1")
        #expect(six([0, 0, 0, 0, 0, 0, 0, 0]) == "::")
        #expect(six([1, 0, 2, 3, 4, 5, 6, 0]) == "1:0:2:3:4:5:6:0")
        #expect(six([1, 2, 3, 4, 5, 6, 0, 0]) == "1:2:3:4:5:6::")
        #expect(DNSAddress(octets: [UInt8](repeating: 0, count: 16)).text(port: 1) == "[::]:1")
    }

    @Test func serversAreWrittenInManyWays() {
        #expect(NameServer("10.0.0.1") == NameServer(host: "10.0.0.1", port: 53))
        #expect(NameServer("10.0.0.1:5353") == NameServer(host: "10.0.0.1", port: 5_353))
        #expect(NameServer("fe80::1%eth0") == NameServer(host: "fe80::1%eth0"))
        #expect(NameServer("[::1]:5353")?.text == "[::1]:5353")
        #expect(NameServer("[::1]") == NameServer(host: "::1"))
        for text in ["", ":53", "a:0", "a:x", "a:70000", "[::1", "[::1]x", "[]:53"] { #expect(NameServer(text) == nil) }
        let file = "# by hand\nsearch a\nnameserver 10.0.0.1\n nameserver\t10.0.0.2 # second\nnameserver 10.0.0.1\n"
        #expect(NameServer.listed(in: file).map(\.host) == ["10.0.0.1", "10.0.0.2"])
        #expect(NameServer.listed(in: "options ndots:5\n") == [NameServer(host: "127.0.0.1")])
    }
}

@Suite struct DNSAnswerTests {
    typealias Written = WrittenResponse
    static let one = DNSAddress(octets: [10, 0, 0, 1])
    static let two = DNSAddress(octets: [10, 0, 0, 2])

    @Test func addressesOfTheNameCountAndTheLeastTTL() throws {
        let answer = try Written(answers: [
            Written.record("iris.example", 1, ttl: 60, Self.two.octets),
            Written.record("iris.example", 1, ttl: 30, Self.one.octets),
            Written.record("iris.example", 1, ttl: 40, Self.two.octets),
            Written.record("evil.example", 1, ttl: 1, [6, 6, 6, 6]),
            Written.record("iris.example", 28, ttl: 2, [UInt8](repeating: 1, count: 16)),
        ]).answer()
        #expect(answer.outcome == .addresses([Self.two, Self.one]))
        #expect(answer.ttl == 30)
    }

    @Test func aNegativeTTLIsNone() throws {
        let record = Written.record("iris.example", 1, ttl: 0x8000_0001, Self.one.octets)
        #expect(try Written(answers: [record]).answer().ttl == 0)
    }

    @Test func aliasesAreFollowedInAnyOrderAndNotForEver() throws {
        let chain = [
            Written.record("b.example", 1, ttl: 50, Self.one.octets),
            Written.record("a.example", 5, ttl: 20, Written.name("B.example")),
            Written.record("iris.example", 5, ttl: 90, Written.name("a.example")),
        ]
        let answer = try Written(answers: chain).answer()
        #expect(answer.outcome == .addresses([Self.one]))
        #expect(answer.ttl == 20)
        // The end of the chain is elsewhere: it is asked for, unless the zone says that there is nothing.
        let open = Written(answers: Array(chain.dropFirst()))
        #expect(try open.answer().outcome == .alias("b.example"))
        var ended = open
        ended.authority = [Written.zone(minimum: 10)]
        #expect(try ended.answer().outcome == .nothing(exists: true))
        let loop = [Written.record("iris.example", 5, Written.name("iris.example"))]
        #expect(try Written(answers: loop).answer().outcome == .failed(.aliases))
        // Whatever else it says: the loop is no set of addresses.
        let circle = [
            Written.record("iris.example", 5, Written.name("a.example")),
            Written.record("a.example", 5, Written.name("iris.example")),
        ]
        let zone = Written.zone(minimum: 10)
        #expect(try Written(answers: circle, authority: [zone]).answer().outcome == .failed(.aliases))
        func long(_ links: Int) throws -> DNSAnswer.Outcome {
            let names = ["iris.example"] + (1...links).map { "n\($0).example" }
            var records = zip(names, names.dropFirst()).map { Written.record($0, 5, Written.name($1)) }
            records.append(Written.record(names[links], 1, Self.one.octets))
            return try Written(answers: records).answer().outcome
        }
        #expect(try long(DNSAnswer.aliasesAtMost) == .addresses([Self.one]))
        #expect(try long(DNSAnswer.aliasesAtMost + 1) == .failed(.aliases))
    }

    /// RFC 2308 §2.2: an answer of nothing has the begin of the zone, or names no servers of it.
    @Test func aReferralDoesNotSayThatThereIsNothing() throws {
        let (server, zone) = (Written.record("example", 2, Written.name("ns.example")), Written.zone(minimum: 10))
        func outcome(_ flags: UInt16, _ authority: [[UInt8]]) throws -> DNSAnswer.Outcome {
            try Written(flags: flags, authority: authority).answer().outcome
        }
        // QR alone, with AA, with RA.
        for flags: UInt16 in [0x8000, 0x8400, 0x8080] {
            #expect(try outcome(flags, [server]) == .failed(.referral))
            #expect(try outcome(flags, [server, zone]) == .nothing(exists: true))
            #expect(try outcome(flags, [zone]) == .nothing(exists: true))
            // That there is no such name is said by a code.
            #expect(try outcome(flags | 3, [server]) == .nothing(exists: false))
        }
        // A server that is neither of the zone nor asks others knows nothing, though it names nobody.
        #expect(try outcome(0x8000, []) == .failed(.referral))
        #expect(try outcome(0x8400, []) == .nothing(exists: true))
        #expect(try outcome(0x8080, []) == .nothing(exists: true))
    }

    @Test func aReferralBesideRecordsIsNone() throws {
        let server = Written.record("example", 2, Written.name("ns.example"))
        let found = [Written.record("iris.example", 1, Self.one.octets)]
        #expect(try Written(answers: found, authority: [server]).answer().outcome == .addresses([Self.one]))
        // Decidedly no such service (RFC 2782).
        let none = Written(
            question: ("s.example", 33), answers: [Written.service("s.example", 0, 0, 0, "")], authority: [server])
        #expect(try none.answer(.srv).outcome == .nothing(exists: true))
        // Where an alias leads out of the zone its target is to be asked for.
        let alias = [Written.record("iris.example", 5, Written.name("b.test"))]
        #expect(try Written(flags: 0x8400, answers: alias, authority: [server]).answer().outcome == .alias("b.test"))
    }

    @Test func nothingHoldsAsLongAsTheZoneSays() throws {
        var written = Written(flags: 0x8183, authority: [Written.zone(minimum: 15, ttl: 40)])
        #expect(try written.answer().outcome == .nothing(exists: false))
        #expect(try written.answer().ttl == 15)
        written.flags = 0x8180
        #expect(try written.answer().outcome == .nothing(exists: true))
        written.flags = 0x8182
        #expect(try written.answer().outcome == .failed(.code(2)))
    }

    @Test func servicesBringTheAddressesOfTheirTargets() throws {
        let name = "_http._tcp.iris.example"
        let written = Written(
            question: (name, 33),
            answers: [
                Written.service(name, 1, 5, 80, "A.example", ttl: 70), Written.service(name, 2, 0, 81, "b.example"),
                Written.service(name, 0, 0, 0, ""), Written.service("other.example", 0, 9, 9, "c.example"),
            ],
            additional: [
                Written.record("a.example", 1, ttl: 33, Self.one.octets),
                Written.record("c.example", 1, ttl: 3, Self.two.octets),
            ])
        let answer = try written.answer(.srv)
        let services = [
            DNSService(priority: 1, weight: 5, port: 80, target: "a.example"),
            DNSService(priority: 2, weight: 0, port: 81, target: "b.example"),
        ]
        #expect(answer.outcome == .services(services, known: ["a.example": [Self.one]]))
        #expect(answer.ttl == 33)
    }
}
