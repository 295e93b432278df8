import SluiceHashing
import Testing

@testable import HTTP1

/// Reads cut messages anywhere; the outcome must not depend on where.
@Suite("Messages in pieces")
struct CutTests {
    static let goodRequests = [
        "GET /v2/health/ready HTTP/1.1\r\nHost: localhost:8080\r\nUser-Agent: curl/8\r\nAccept: */*\r\n\r\nnext",
        "\r\n\r\nPOST /v1/models/a/versions/1/predict?x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n"
            + "Connection: keep-alive, x-a\r\nX-A: 1\r\nExpect: 100-continue\r\n\r\nabc",
        "OPTIONS * HTTP/1.0\r\nX:\r\n\r\n",
    ]

    static let requests =
        goodRequests
        + (RequestStrictnessTests.lines + RequestStrictnessTests.targets + RequestStrictnessTests.fields
        + RequestStrictnessTests.framing).map(\.message)

    @Test("A request cut at every byte is the same request, or fails the same")
    func requestsAtEveryByte() {
        for message in Self.requests { checkRequest(latin1(message), limits: HeadLimits()) }
        // Small limits, so that the cuts meet them.
        let small = HeadLimits(headerBytes: 64, fieldCount: 2, targetBytes: 8)
        for message in Self.requests { checkRequest(latin1(message), limits: small) }
    }

    @Test("A response cut at every byte is the same response, or fails the same")
    func responsesAtEveryByte() {
        let good = [
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nDate: x\r\n\r\nok", "HTTP/1.0 404\r\nX: y\r\n\r\n",
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        ]
        for message in good + ResponseTests.refused.map(\.0).filter({ $0.utf8.count < 1000 }) {
            let bytes = latin1(message)
            let whole = parseResponse(bytes)
            for cut in 0...bytes.count { #expect(parseResponse(bytes, cuts: [cut]) == whole, "\(message) at \(cut)") }
            #expect(parseResponse(bytes, cuts: Array(0..<bytes.count)) == whole)
        }
    }

    @Test("Mutated requests neither trap nor depend on the cut, and what is accepted is written and read alike")
    func mutations() throws {
        var random = SplitMix64(seed: 1)
        let seeds = Self.requests.filter { $0.utf8.count < 400 }.map(latin1)
        let interesting: [UInt8] = [0, 9, 10, 11, 13, 32, 35, 44, 58, 59, 63, 127, 128, 255]
        for _ in 0..<4000 {
            var bytes = seeds.randomElement(using: &random) ?? []
            for _ in 0..<Int.random(in: 1...3, using: &random) where !bytes.isEmpty {
                let place = Int.random(in: 0..<bytes.count, using: &random)
                switch Int.random(in: 0..<4, using: &random) {
                case 0: bytes[place] = interesting.randomElement(using: &random) ?? 0
                case 1: bytes.insert(interesting.randomElement(using: &random) ?? 0, at: place)
                case 2: bytes.remove(at: place)
                default:
                    let other = seeds.randomElement(using: &random) ?? []
                    bytes.replaceSubrange(place..., with: other.suffix(Int.random(in: 0...80, using: &random)))
                }
            }
            let whole = parseRequest(bytes)
            let cuts = (0..<3).map { _ in Int.random(in: 0...bytes.count, using: &random) }.sorted()
            #expect(parseRequest(bytes, cuts: cuts) == whole, "\(bytes) cut at \(cuts)")
            if let message = whole.message { try checkRewritten(bytes, message) }
        }
    }

    private func checkRequest(_ bytes: [UInt8], limits: HeadLimits) {
        let whole = parseRequest(bytes, limits: limits)
        guard bytes.count < 1000 else { return }
        for cut in 0...bytes.count {
            #expect(parseRequest(bytes, limits: limits, cuts: [cut]) == whole, "\(text(bytes)) cut at \(cut)")
        }
        #expect(parseRequest(bytes, limits: limits, cuts: Array(0..<bytes.count)) == whole, "\(text(bytes))")
    }

    private func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

    /// A forwarded request has the meaning of the one received.
    private func checkRewritten(_ bytes: [UInt8], _ original: ParsedRequest) throws {
        let fields = UnsafeMutablePointer<sluice_field>.allocate(capacity: 128)
        let buffer = UnsafeMutablePointer<UInt8>.allocate(capacity: 4096)
        defer {
            fields.deallocate()
            buffer.deallocate()
        }
        let again = try bytes.withUnsafeBufferPointer { received -> Parsed<ParsedRequest> in
            var head = RequestHead(fields: fields)
            var progress = HeadProgress()
            let start = try #require(received.baseAddress)
            _ = HeadParser().parseRequest(
                start, count: received.count, fields: fields, into: &head, progress: &progress)
            var writer = HeadWriter(buffer, capacity: 4096)
            writer.appendRequestLine(head)
            if head.fields.host < 0 {
                writer.appendField("Host", head.authority.data == nil ? ("none" as StaticString).bytes : head.authority)
            }
            writer.appendFields(head.fields, except: head.fields.hopByHop)
            writer.appendFraming(head.body)
            guard case .written(let count) = writer.finish() else { return .needMore }
            return parseRequest(Array(UnsafeBufferPointer(start: buffer, count: count)))
        }
        let rewritten = try #require(again.message, "\(text(bytes))")
        #expect(rewritten.method == original.method)
        #expect(rewritten.path == original.path)
        #expect(rewritten.query == original.query)
        #expect(rewritten.body == original.body)
        #expect(original.authority == nil || rewritten.authority == original.authority)
        let endToEnd = original.fields.filter { !$0.hopByHop && $0.name.lowercased() != "host" }
        #expect(
            rewritten.fields.filter { !$0.hopByHop && $0.name.lowercased() != "host" } == endToEnd, "\(text(bytes))")
    }
}
