@testable import HTTP1

/// The bytes of a parsed view as text; absent views are nil.
func text(_ bytes: sluice_bytes) -> String? {
    guard let data = bytes.data else { return nil }
    return String(decoding: UnsafeBufferPointer(start: data, count: bytes.size), as: UTF8.self)
}

/// A message whose bytes may be any, written as a Swift literal in Latin-1.
func latin1(_ text: String) -> [UInt8] {
    text.unicodeScalars.map { UInt8(truncatingIfNeeded: $0.value) }
}

/// All that a request head means, copied out of its views.
struct ParsedRequest: Equatable {
    var method, target, path, query, authority: String?
    var kind: Method
    var minorVersion: UInt8
    var fields: [Field]
    var body: BodyFraming
    var keepAlive, expectContinue, acceptsTrailers: Bool
    var upgrade: Upgrade
    var headSize: Int

    struct Field: Equatable {
        var name, value: String
        var hopByHop: Bool
    }

    init(_ head: RequestHead) {
        method = text(head.method)
        target = text(head.target)
        path = text(head.path)
        query = text(head.query)
        authority = text(head.authority)
        kind = head.methodKind
        minorVersion = head.minorVersion
        fields = Self.fields(head.fields)
        body = head.body
        (keepAlive, expectContinue) = (head.keepAlive, head.expectContinue)
        (acceptsTrailers, upgrade, headSize) = (head.acceptsTrailers, head.upgrade, head.headSize)
    }

    static func fields(_ section: FieldSection) -> [Field] {
        (0..<section.count).map {
            Field(
                name: text(section[$0].name) ?? "", value: text(section[$0].value) ?? "",
                hopByHop: section.hopByHop.contains($0))
        }
    }

    func value(_ name: String) -> String? { fields.first { $0.name.lowercased() == name }?.value }
    var hopByHop: [String] { fields.filter(\.hopByHop).map(\.name) }
}

struct ParsedResponse: Equatable {
    var status: UInt16
    var reason: String?
    var minorVersion: UInt8
    var fields: [ParsedRequest.Field]
    var body, declared: BodyFraming
    var keepAlive: Bool
    var headSize: Int
    var upgrade: Upgrade

    init(_ head: ResponseHead) {
        status = head.status
        reason = text(head.reason)
        minorVersion = head.minorVersion
        fields = ParsedRequest.fields(head.fields)
        (body, declared, keepAlive, headSize) = (head.body, head.declared, head.keepAlive, head.headSize)
        upgrade = head.upgrade
    }
}

enum Parsed<Message: Equatable>: Equatable {
    case needMore
    case message(Message)
    case failed(ParseFault)

    var fault: ParseFault? {
        if case .failed(let fault) = self { fault } else { nil }
    }
    var message: Message? {
        if case .message(let message) = self { message } else { nil }
    }
}

/// Feeds a head in pieces that end at `cuts`, each time in another piece of memory as when a buffer grows. The last
/// piece ends with the bytes.
/// `framedByStream`: the head is one of HTTP/2, whose body the stream ends.
func parseRequest(
    _ bytes: [UInt8], limits: HeadLimits = HeadLimits(), cuts: [Int] = [], framedByStream: Bool = false
) -> Parsed<ParsedRequest> {
    feed(bytes, cuts: cuts) { pointer, count, fields, progress in
        var head = RequestHead(fields: fields)
        let parser = HeadParser(limits: limits)
        switch parser.parseRequest(pointer, count: count, fields: fields, into: &head, progress: &progress) {
        case .needMore: return .needMore
        case .complete:
            if framedByStream { head.framesBodyByStream() }
            return .message(ParsedRequest(head))
        case .failed(let fault): return .failed(fault)
        }
    }
}

func parseRequest(_ message: String, limits: HeadLimits = HeadLimits()) -> Parsed<ParsedRequest> {
    parseRequest(latin1(message), limits: limits)
}

func parseResponse(
    _ bytes: [UInt8], requestWasHead: Bool = false, allowsUpgrade: Bool = false, limits: HeadLimits = HeadLimits(),
    cuts: [Int] = []
) -> Parsed<ParsedResponse> {
    feed(bytes, cuts: cuts) { pointer, count, fields, progress in
        var head = ResponseHead(fields: fields)
        let outcome = HeadParser(limits: limits).parseResponse(
            pointer, count: count, fields: fields, requestWasHead: requestWasHead, allowsUpgrade: allowsUpgrade,
            into: &head, progress: &progress)
        switch outcome {
        case .needMore: return .needMore
        case .complete: return .message(ParsedResponse(head))
        case .failed(let fault): return .failed(fault)
        }
    }
}

private func feed<Message>(
    _ bytes: [UInt8], cuts: [Int],
    _ parse: (UnsafePointer<UInt8>, Int, UnsafeMutablePointer<sluice_field>, inout HeadProgress) -> Parsed<Message>
) -> Parsed<Message> {
    var progress = HeadProgress()
    for count in cuts + [bytes.count] {
        // Exactly as large as what was received, so that a sanitizer sees a read beyond it.
        let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: max(count, 1))
        let fields = UnsafeMutablePointer<sluice_field>.allocate(capacity: 128)
        defer {
            memory.deallocate()
            fields.deallocate()
        }
        for index in 0..<count { memory[index] = bytes[index] }
        let outcome = parse(memory, count, fields, &progress)
        if outcome != .needMore { return outcome }
    }
    return .needMore
}
