import SluiceABI
import SluiceJSON

/// An endpoint in a list.
public struct ListedEndpoint: Equatable, Sendable {
    public var address: String
    public var weight: UInt32 = 1
    public var zone = ""

    public init(address: String, weight: UInt32 = 1, zone: String = "") {
        self.address = address
        self.weight = weight
        self.zone = zone
    }
}

/// Why a list cannot be read.
public struct ListFault: Error, Equatable, Sendable {
    /// Counted from 1; 0 where the text is JSON, which is read as a whole.
    public let line: Int
    public let message: String

    public init(line: Int, message: String) {
        self.line = line
        self.message = message
    }

    public var text: String { line == 0 ? message : "line \(line): \(message)" }
}

/// Reads a list of endpoints: JSON, or the lines of YAML that people write such lists in.
///
///     [ "http://10.0.0.1:8080", { "address": "10.0.0.2:8080", "weight": 2, "zone": "b" } ]
///
///     endpoints:            # may be left out
///       - http://10.0.0.1:8080
///       - { address: 10.0.0.2:8080, weight: 2, zone: b }
public enum EndpointList {
    /// Larger than 4,096 endpoints with all they can have.
    public static let bytesAtMost = 1 << 20
    /// What is read of one list; the host takes no more than 4,096 of one pool.
    public static let endpointsAtMost = 8_192

    public static func read(_ text: [UInt8]) throws(ListFault) -> [ListedEndpoint] {
        guard text.count <= bytesAtMost else {
            throw ListFault(line: 0, message: "the list is larger than \(bytesAtMost) bytes")
        }
        guard let first = text.first(where: { !isSpace($0) }) else {
            throw ListFault(line: 0, message: "there is nothing in it; an empty list is written `[]`")
        }
        let isJSON = first == UInt8(ascii: "[") || first == UInt8(ascii: "{")
        let endpoints = isJSON ? try readJSON(text) : try EndpointLines.read(text)
        guard endpoints.count <= endpointsAtMost else {
            throw ListFault(line: 0, message: "the list has more than \(endpointsAtMost) endpoints")
        }
        return endpoints
    }

    /// Reads one endpoint: what an element of a list may be in JSON, or an address alone.
    public static func readOne(_ text: [UInt8]) throws(ListFault) -> ListedEndpoint {
        let content = trimmed(text[...])
        guard content.count <= bytesOfOneAtMost else {
            throw ListFault(line: 0, message: "it is larger than \(bytesOfOneAtMost) bytes")
        }
        guard let first = content.first else { throw ListFault(line: 0, message: "it is empty") }
        if first == UInt8(ascii: "{") || first == UInt8(ascii: "\"") {
            do throws(CodecFailure) {
                return try PrivateArena(limit: bytesOfOneAtMost).read(Array(content)) {
                    reader throws(CodecFailure) in try endpoint(&reader)
                }
            } catch { throw fault(error) }
        }
        guard content.allSatisfy({ $0 > 32 && $0 < 127 }) else {
            throw ListFault(line: 0, message: "it is neither JSON nor an address")
        }
        return ListedEndpoint(address: String(decoding: content, as: UTF8.self))
    }

    /// An address and a zone of the longest, many times.
    public static let bytesOfOneAtMost = 16_384

    // MARK: JSON

    private static func readJSON(_ text: [UInt8]) throws(ListFault) -> [ListedEndpoint] {
        do throws(CodecFailure) {
            return try PrivateArena(limit: bytesAtMost).read(text) { reader throws(CodecFailure) in
                guard try reader.peek() == .object else { return try list(&reader) }
                var found: [ListedEndpoint]?
                try reader.beginObject()
                var isFirst = true
                while let key = try reader.nextKey(&isFirst) {
                    guard Self.text(of: key) == "endpoints", found == nil else {
                        throw CodecFailure("expected one key, `endpoints`")
                    }
                    found = try list(&reader)
                }
                guard let found else { throw CodecFailure("expected the key `endpoints`") }
                return found
            }
        } catch { throw fault(error) }
    }

    private static func list(_ reader: inout JSONReader) throws(CodecFailure) -> [ListedEndpoint] {
        var endpoints: [ListedEndpoint] = []
        try reader.beginArray()
        var isFirst = true
        while try reader.nextElement(&isFirst) {
            guard endpoints.count <= endpointsAtMost else { throw CodecFailure("the list has too many endpoints") }
            endpoints.append(try endpoint(&reader))
        }
        return endpoints
    }

    private static func endpoint(_ reader: inout JSONReader) throws(CodecFailure) -> ListedEndpoint {
        if try reader.peek() == .string { return ListedEndpoint(address: text(of: try reader.string())) }
        var made = ListedEndpoint(address: "")
        var hasAddress = false
        try reader.beginObject()
        var isFirst = true
        while let key = try reader.nextKey(&isFirst) {
            switch text(of: key) {
            case "address":
                made.address = text(of: try reader.string())
                hasAddress = true
            case "zone": made.zone = text(of: try reader.string())
            case "weight":
                guard let weight = UInt32(exactly: try reader.integer()) else {
                    throw CodecFailure("a weight is a whole number from 0 to 4294967295")
                }
                made.weight = weight
            default: throw CodecFailure("an endpoint has the keys `address`, `weight` and `zone`")
            }
        }
        guard hasAddress else { throw CodecFailure("an endpoint has no `address`") }
        return made
    }

    private static func text(of bytes: sluice_bytes) -> String {
        String(decoding: UnsafeBufferPointer(start: bytes.data, count: bytes.size), as: UTF8.self)
    }

    private static func fault(_ failure: CodecFailure) -> ListFault {
        let place = failure.offset >= 0 ? ", at byte \(failure.offset)" : ""
        return ListFault(line: 0, message: "\(failure.reason)\(place)")
    }

    // MARK: Bytes

    static func isSpace(_ byte: UInt8) -> Bool { byte == 32 || byte == 9 || byte == 10 || byte == 13 }

    static func trimmed(_ bytes: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        var rest = bytes
        while let first = rest.first, isSpace(first) { rest.removeFirst() }
        while let last = rest.last, isSpace(last) { rest.removeLast() }
        return rest
    }
}
