import RateLimitProtocol
import Testing

@Suite struct RESPTests {
    private func first(_ text: String) -> RESPReader.Step {
        Array(text.utf8).withUnsafeBytes { RESPReader.first(in: $0) }
    }

    /// Replies as the protocol's specification shows them.
    @Test(
        arguments: [
            ("+OK\r\n", .simple("OK")), ("-ERR unknown command\r\n", .error("ERR unknown command")),
            (":1000\r\n", .integer(1_000)), (":-1\r\n", .integer(-1)),
            (":9223372036854775807\r\n", .integer(.max)), (":-9223372036854775808\r\n", .integer(.min)),
            ("$5\r\nhello\r\n", .bulk(Array("hello".utf8))), ("$0\r\n\r\n", .bulk([])), ("$-1\r\n", .bulk(nil)),
            ("$2\r\n\r\n\r\n", .bulk([13, 10])),
            ("*0\r\n", .array([])), ("*-1\r\n", .array(nil)),
            ("*2\r\n*1\r\n:1\r\n$3\r\nfoo\r\n", .array([.array([.integer(1)]), .bulk(Array("foo".utf8))])),
        ] as [(String, RESPValue)])
    func repliesOfTheSpecification(text: String, value: RESPValue) {
        #expect(first(text) == .value(value, size: text.utf8.count))
        #expect(first(text + "+next\r\n") == .value(value, size: text.utf8.count))
        for size in 0..<text.utf8.count {
            #expect(first(String(decoding: text.utf8.prefix(size), as: UTF8.self)) == .incomplete)
        }
    }

    @Test(arguments: [
        "OK\r\n", "+OK\n", "+O\rK\r\n", ":\r\n", ":-\r\n", ":1x\r\n", ":9223372036854775808\r\n",
        ":12345678901234567890\r\n", "$-2\r\n", "$65537\r\n", "$1\r\nxyz", "*1025\r\n", "*-2\r\n",
        "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n", "*2\r\n*1000\r\n",
        "+" + String(repeating: "a", count: 1_026), "*1\r\n?\r\n",
    ])
    func whatIsNoReplyIsRefused(text: String) {
        let whole = text.hasPrefix("*2") ? text + String(repeating: ":1\r\n", count: 1_000) + "*100\r\n" : text
        #expect(first(whole) == .malformed)
    }

    @Test func commandsNameTheBucketsAndSayMicroseconds() {
        let command = FleetStore.command(
            [(key: 5, cost: 200_000_001, least: 2_001), (key: .max, cost: -1, least: -2_999)], prefix: "fleet",
            keep: 1_600)
        let text = String(decoding: command, as: UTF8.self)
        #expect(text.hasPrefix("*11\r\n$4\r\nEVAL\r\n$"))
        #expect(
            text.hasSuffix(
                "\r\n$1\r\n3\r\n$13\r\n{fleet}:clock\r\n$24\r\n{fleet}:0000000000000005\r\n"
                    + "$24\r\n{fleet}:ffffffffffffffff\r\n$4\r\n1600\r\n$6\r\n200001\r\n$1\r\n3\r\n"
                    + "$2\r\n-1\r\n$2\r\n-2\r\n"))
        let answer = FleetStore.answer(
            .array([.integer(7), .integer(3), .integer(0), .bulk(Array("NOPERM".utf8))]), count: 3)
        #expect(answer?.epoch == 7)
        #expect(answer?.buckets == [.ahead(3_000), .ahead(0), .refused("NOPERM")])
        #expect(FleetStore.answer(.array([.integer(7)]), count: 0)?.buckets == [])
        for wrong in [
            .integer(3), .array(nil), .array([]), .array([.integer(7)]), .array([.integer(7), .integer(-1)]),
            .array([.integer(7), .bulk(nil)]), .array([.integer(7), .integer(.max)]), .array([.bulk([]), .integer(3)]),
        ] as [RESPValue] {
            #expect(FleetStore.answer(wrong, count: 1) == nil)
        }
    }
}
