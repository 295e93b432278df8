// Request heads: what is accepted does not depend on how it was cut, and a gateway's rewriting keeps its meaning.
import FuzzDriver
import HTTP1

/// A parse of bytes that are presented in pieces, each in memory of its own size.
func parse(_ data: UnsafePointer<UInt8>, _ count: Int, cuts: [Int], storage: Storage) -> ParseOutcome {
    let parser = HeadParser(limits: HeadLimits(headerBytes: 2048, fieldCount: 32, targetBytes: 512))
    var progress = HeadProgress()
    for end in cuts + [count] {
        storage.hold(data, end)
        let outcome = parser.parseRequest(
            storage.bytes, count: end, fields: storage.fields, into: &storage.head, progress: &progress)
        if outcome != .needMore { return outcome }
    }
    return .needMore
}

/// One parsed request with the memory that its views are of.
final class Storage {
    private(set) var bytes = UnsafeMutablePointer<UInt8>.allocate(capacity: 1)
    let fields = UnsafeMutablePointer<sluice_field>.allocate(capacity: 32)
    var head: RequestHead

    init() { head = RequestHead(fields: fields) }

    deinit {
        bytes.deallocate()
        fields.deallocate()
    }

    func hold(_ data: UnsafePointer<UInt8>, _ count: Int) {
        bytes.deallocate()
        bytes = .allocate(capacity: max(count, 1))
        bytes.update(from: data, count: count)
    }
}

func equal(_ one: sluice_bytes, _ other: sluice_bytes) -> Bool {
    guard one.size == other.size else { return false }
    guard let oneData = one.data, let otherData = other.data else { return (one.data == nil) == (other.data == nil) }
    return (0..<one.size).allSatisfy { oneData[$0] == otherData[$0] }
}

func sameMeaning(_ one: RequestHead, _ other: RequestHead) -> Bool {
    equal(one.method, other.method) && one.methodKind == other.methodKind && equal(one.path, other.path)
        && equal(one.query, other.query) && one.body == other.body
}

/// The fields that go on to the next hop, Host apart.
func endToEnd(_ section: FieldSection) -> [sluice_field] {
    (0..<section.count).filter { !section.hopByHop.contains($0) && $0 != Int(section.host) }.map { section[$0] }
}

func sameFields(_ one: FieldSection, _ other: FieldSection) -> Bool {
    let (ones, others) = (endToEnd(one), endToEnd(other))
    return ones.count == others.count
        && zip(ones, others).allSatisfy { equal($0.name, $1.name) && equal($0.value, $1.value) }
}

fuzz { data, count in
    guard let data else { return 0 }
    let (whole, pieces, again) = (Storage(), Storage(), Storage())
    let outcome = parse(data, count, cuts: [], storage: whole)
    expect(parse(data, count, cuts: cuts(of: count, by: data), storage: pieces) == outcome, "cuts change nothing")
    guard outcome == .complete else { return 0 }
    expect(sameMeaning(whole.head, pieces.head), "cuts change no meaning")
    expect(sameFields(whole.head.fields, pieces.head.fields), "cuts change no field")
    expect(whole.head.headSize <= count, "a head lies within its bytes")
    expect(whole.head.minorVersion == 0 || whole.head.authority.size > 0, "HTTP/1.1 has a host")

    var buffer = [UInt8](repeating: 0, count: 8192)
    let written = buffer.withUnsafeMutableBufferPointer { buffer -> WriteOutcome in
        guard let start = buffer.baseAddress else { return .doesNotFit }
        var writer = HeadWriter(start, capacity: buffer.count)
        writer.appendRequestLine(whole.head)
        if whole.head.fields.host < 0 {
            let missing = whole.head.authority.data == nil
            writer.appendField("Host", missing ? sluice_bytes(data: data, size: 0) : whole.head.authority)
        }
        writer.appendFields(whole.head.fields, except: whole.head.fields.hopByHop)
        writer.appendFraming(whole.head.body)
        return writer.finish()
    }
    guard case .written(let size) = written else {
        expect(false, "what was parsed can be written")
        return 0
    }
    guard whole.head.authority.data != nil else { return 0 }
    let forwarded = buffer.withUnsafeBufferPointer { buffer in
        buffer.baseAddress.map { parse($0, size, cuts: [], storage: again) }
    }
    // A head just within the limits may be written longer, with its host or a space after a colon.
    if forwarded == .failed(.headTooLarge) || forwarded == .failed(.tooManyFields) { return 0 }
    expect(forwarded == .complete, "what was written can be parsed")
    expect(again.head.headSize == size, "one head is written, and nothing behind it")
    expect(sameMeaning(whole.head, again.head), "rewriting changes no meaning")
    expect(sameFields(whole.head.fields, again.head.fields), "rewriting changes no field")
    return 0
}
