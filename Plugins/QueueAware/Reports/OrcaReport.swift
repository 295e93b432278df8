import SluicePlugin

/// The load that an endpoint tells in a response's `endpoint-load-metrics` field, metric by metric: ORCA, Open Request
/// Cost Aggregation (xds.data.orca.v3.OrcaLoadReport), in the forms that model servers write.
///
///     TEXT cpu_utilization=0.3, named_metrics.num_requests_waiting=2
///     JSON {"named_metrics": {"num_requests_waiting": 2}}
///
/// Text may lack its first word and have a colon for the equals sign, as Envoy reads it. Members of an object within
/// come by their own name, and so do those of text: without `named_metrics.` before them. What is no number is skipped;
/// at the first fault the report ends. The binary form is not read.
public struct OrcaReport {
    public struct Metric {
        public let name: Bytes
        public let value: Double
    }

    /// Objects within objects: a report has two levels, and what is deeper is none.
    private static let depthAtMost = 4

    private var rest: Bytes
    private let isJSON: Bool
    private var depth = 0

    /// - Parameter value: must live as long as this value and the metrics.
    public init(_ value: Bytes) {
        var text = value.trimmed
        var isJSON = text.first == 0x7B
        if text.hasPrefixIgnoringCase("json ") {
            text = text.dropFirst(5).trimmed
            isJSON = true
        } else if text.hasPrefixIgnoringCase("text ") {
            text = text.dropFirst(5)
        } else if text.hasPrefixIgnoringCase("bin ") {
            text = Bytes()
        }
        rest = text
        self.isJSON = isJSON
    }

    public mutating func next() -> Metric? { isJSON ? nextMember() : nextPair() }

    // MARK: Text

    private mutating func nextPair() -> Metric? {
        while !rest.isEmpty {
            let end = rest.firstIndex(of: 0x2C) ?? rest.count
            let pair = rest[0..<end].trimmed
            rest = rest.dropFirst(end + 1)
            guard let mark = pair.firstIndex(of: 0x3D) ?? pair.firstIndex(of: 0x3A), mark > 0,
                let value = DecimalNumber.parse(pair.dropFirst(mark + 1).trimmed)
            else { continue }
            var name = pair[0..<mark].trimmed
            if let point = name.firstIndex(of: 0x2E) { name = name.dropFirst(point + 1) }
            return Metric(name: name, value: value)
        }
        return nil
    }

    // MARK: JSON

    private mutating func nextMember() -> Metric? {
        while true {
            skipSpace()
            if depth == 0 {
                // Only the beginning is at depth 0: behind the last brace nothing is looked for.
                guard take(0x7B) else { return end() }
                depth = 1
                continue
            }
            if take(0x7D) {
                depth -= 1
                if depth == 0 { return end() }
                continue
            }
            if take(0x2C) { continue }
            guard let name = string() else { return end() }
            skipSpace()
            guard take(0x3A) else { return end() }
            skipSpace()
            if rest.first == 0x7B {
                guard depth < Self.depthAtMost else { return end() }
                rest = rest.dropFirst()
                depth += 1
            } else if rest.first == 0x22 {
                guard string() != nil else { return end() }
            } else {
                var size = 0
                while let byte = rest.at(size), byte != 0x2C, byte != 0x7D, !Self.isSpace(byte) { size += 1 }
                guard size > 0 else { return end() }
                let value = DecimalNumber.parse(rest[0..<size])
                rest = rest.dropFirst(size)
                if let value { return Metric(name: name, value: value) }
            }
        }
    }

    private mutating func end() -> Metric? {
        rest = Bytes()
        return nil
    }

    private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 || byte == 0x0A || byte == 0x0D }

    private mutating func skipSpace() {
        var size = 0
        while let byte = rest.at(size), Self.isSpace(byte) { size += 1 }
        if size > 0 { rest = rest.dropFirst(size) }
    }

    private mutating func take(_ byte: UInt8) -> Bool {
        guard rest.first == byte else { return false }
        rest = rest.dropFirst()
        return true
    }

    /// What a string holds, escapes as they came.
    private mutating func string() -> Bytes? {
        guard rest.first == 0x22 else { return nil }
        var end = 1
        while let byte = rest.at(end), byte != 0x22 { end += byte == 0x5C ? 2 : 1 }
        guard end < rest.count else { return nil }
        let content = rest[1..<end]
        rest = rest.dropFirst(end + 1)
        return content
    }
}
