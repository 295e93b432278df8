/// The lines of YAML that a list of endpoints is written in, and no more of YAML than that: `- address`, or
/// `- { address: …, weight: …, zone: … }`, under `endpoints:` or alone; comments and blank lines.
enum EndpointLines {
    static func read(_ text: [UInt8]) throws(ListFault) -> [ListedEndpoint] {
        var endpoints: [ListedEndpoint] = []
        var sawHeading = false
        for (index, line) in text.split(separator: 10, omittingEmptySubsequences: false).enumerated() {
            let content = EndpointList.trimmed(withoutComment(line))
            if content.isEmpty || content.elementsEqual("---".utf8) { continue }
            if content.elementsEqual("endpoints:".utf8), !sawHeading, endpoints.isEmpty {
                sawHeading = true
                continue
            }
            if content.elementsEqual("endpoints: []".utf8), !sawHeading, endpoints.isEmpty {
                sawHeading = true
                continue
            }
            guard content.starts(with: "- ".utf8) else {
                throw ListFault(
                    line: index + 1, message: "expected `- address` or `- { address: …, weight: …, zone: … }`")
            }
            guard endpoints.count <= EndpointList.endpointsAtMost else { break }
            endpoints.append(try endpoint(EndpointList.trimmed(content.dropFirst(2)), index + 1))
        }
        guard sawHeading || !endpoints.isEmpty else {
            throw ListFault(line: 0, message: "there is nothing in it; an empty list is written `[]`")
        }
        return endpoints
    }

    /// A `#` begins a comment at the begin of a line or behind white space (YAML 1.2.2 §6.6).
    private static func withoutComment(_ line: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        var before: UInt8 = 32
        for index in line.indices {
            if line[index] == UInt8(ascii: "#"), before == 32 || before == 9 { return line[..<index] }
            before = line[index]
        }
        return line
    }

    private static func endpoint(_ item: ArraySlice<UInt8>, _ line: Int) throws(ListFault) -> ListedEndpoint {
        guard item.first == UInt8(ascii: "{") else { return ListedEndpoint(address: try scalar(item, line)) }
        guard item.last == UInt8(ascii: "}") else { throw ListFault(line: line, message: "`}` is missing") }
        var made = ListedEndpoint(address: "")
        for part in item.dropFirst().dropLast().split(separator: UInt8(ascii: ",")) {
            let entry = EndpointList.trimmed(part)
            guard let colon = entry.firstIndex(of: UInt8(ascii: ":")) else {
                throw ListFault(line: line, message: "expected `key: value`")
            }
            let value = try scalar(EndpointList.trimmed(entry[(colon + 1)...]), line)
            switch String(decoding: EndpointList.trimmed(entry[..<colon]), as: UTF8.self) {
            case "address": made.address = value
            case "zone": made.zone = value
            case "weight":
                guard let weight = UInt32(value) else {
                    throw ListFault(line: line, message: "a weight is a whole number from 0 to 4294967295")
                }
                made.weight = weight
            default:
                throw ListFault(line: line, message: "an endpoint has the keys `address`, `weight` and `zone`")
            }
        }
        guard !made.address.isEmpty else { throw ListFault(line: line, message: "an endpoint has no `address`") }
        return made
    }

    /// A plain or quoted text; nothing in an address needs an escape.
    private static func scalar(_ text: ArraySlice<UInt8>, _ line: Int) throws(ListFault) -> String {
        var content = text
        if let quote = text.first, quote == UInt8(ascii: "\"") || quote == UInt8(ascii: "'") {
            guard text.count >= 2, text.last == quote else {
                throw ListFault(line: line, message: "a quote is not closed")
            }
            content = text.dropFirst().dropLast()
            guard !content.contains(quote), !content.contains(UInt8(ascii: "\\")) else {
                throw ListFault(line: line, message: "escapes are not read here; write the text without quotes")
            }
        }
        guard !content.isEmpty, content.allSatisfy({ $0 >= 32 && $0 != 127 }) else {
            throw ListFault(line: line, message: "a value is empty or has a control character")
        }
        return String(decoding: content, as: UTF8.self)
    }
}
