// Response heads: what is accepted does not depend on how it was cut, and is written so that it reads alike.
import FuzzDriver
import HTTP1

/// What matters of a response, copied out of its views.
struct Response: Equatable {
    var status: UInt16
    var declared, body: BodyFraming
    var keepAlive: Bool
    var names: [[UInt8]]
    var values: [[UInt8]]
}

func copy(_ bytes: sluice_bytes) -> [UInt8] {
    Array(UnsafeBufferPointer(start: bytes.data, count: bytes.size))
}

/// Parses a response in pieces and, if it is good, writes it the way the gateway forwards it.
func parse(_ data: UnsafePointer<UInt8>, _ count: Int, cuts: [Int]) -> (ParseOutcome, Response?, forwarded: [UInt8]) {
    let parser = HeadParser(limits: HeadLimits(headerBytes: 2048, fieldCount: 32))
    let fields = UnsafeMutablePointer<sluice_field>.allocate(capacity: 32)
    defer { fields.deallocate() }
    var head = ResponseHead(fields: fields)
    var progress = HeadProgress()
    for end in cuts + [count] {
        let bytes = UnsafeMutablePointer<UInt8>.allocate(capacity: max(end, 1))
        defer { bytes.deallocate() }
        bytes.update(from: data, count: end)
        let outcome = parser.parseResponse(
            bytes, count: end, fields: fields, requestWasHead: count & 1 == 1, allowsUpgrade: count & 2 == 2,
            into: &head, progress: &progress)
        if outcome == .needMore { continue }
        guard outcome == .complete else { return (outcome, nil, []) }
        expect(head.headSize <= end, "a head lies within its bytes")
        let kept = (0..<head.fields.count).filter { !head.fields.hopByHop.contains($0) }
        let response = Response(
            status: head.status, declared: head.declared, body: head.body, keepAlive: head.keepAlive,
            names: kept.map { copy(head.fields[$0].name) }, values: kept.map { copy(head.fields[$0].value) })

        var buffer = [UInt8](repeating: 0, count: 8192)
        let written = buffer.withUnsafeMutableBufferPointer { buffer -> WriteOutcome in
            guard let start = buffer.baseAddress else { return .doesNotFit }
            var writer = HeadWriter(start, capacity: buffer.count)
            writer.appendStatusLine(head.status, reason: head.reason)
            writer.appendFields(head.fields, except: head.fields.hopByHop)
            writer.appendFraming(head.declared)
            if !head.keepAlive { writer.appendConnection(close: true) }
            return writer.finish()
        }
        guard case .written(let size) = written else {
            expect(false, "what was parsed can be written")
            return (outcome, response, [])
        }
        return (outcome, response, Array(buffer[..<size]))
    }
    return (.needMore, nil, [])
}

fuzz { data, count in
    guard let data else { return 0 }
    let (outcome, response, forwarded) = parse(data, count, cuts: [])
    let pieces = parse(data, count, cuts: cuts(of: count, by: data))
    expect(pieces.0 == outcome && pieces.1 == response, "cuts change nothing")
    guard let response else { return 0 }
    expect(response.body != .untilClose || !response.keepAlive, "a body until the close closes")

    // The second parse takes its flags from the size, so pad behind the head until they are those of the first.
    let padding = [UInt8](repeating: 0, count: (count &- forwarded.count) & 3)
    let padded = forwarded + padding
    let again = padded.withUnsafeBufferPointer { buffer in
        buffer.baseAddress.map { parse($0, buffer.count, cuts: []) }
    }
    if again?.0 == .failed(.headTooLarge) || again?.0 == .failed(.tooManyFields) { return 0 }
    expect(again?.0 == .complete, "what was written can be parsed")
    expect(again?.1?.status == response.status, "rewriting keeps the status")
    expect(again?.1?.body == response.body, "rewriting keeps what follows")
    expect(again?.1?.names == response.names && again?.1?.values == response.values, "rewriting keeps the fields")
    return 0
}
