import SluicePlugin

/// A page of metrics in Prometheus' text format (version 0.0.4; what OpenMetrics has beyond it is passed over), sample
/// by sample. A line that is none is skipped: of a page of thousands of lines two or three are of interest, and one
/// exporter's slip must not hide them.
public struct MetricsText {
    /// One line: `name{label="value",…} number [timestamp]`.
    public struct Sample {
        public let name: Bytes
        /// What stands between the braces, as it came; empty without them.
        public let labels: Bytes
        public let value: Double
    }

    private var rest: Bytes

    /// - Parameter page: must live as long as this value and the samples.
    public init(_ page: Bytes) { rest = page }

    public mutating func next() -> Sample? {
        while !rest.isEmpty {
            let end = rest.firstIndex(of: 0x0A) ?? rest.count
            let line = rest[0..<end]
            rest = rest.dropFirst(end + 1)
            if let sample = Self.sample(line) { return sample }
        }
        return nil
    }

    private static func sample(_ line: Bytes) -> Sample? {
        var line = line.trimmed
        if line.at(line.count - 1) == 0x0D { line = line.dropLast().trimmed }
        guard let first = line.first, first != 0x23 else { return nil }
        var end = 0
        while let byte = line.at(end), isName(byte) { end += 1 }
        guard end > 0 else { return nil }
        let name = line[0..<end]
        line = line.dropFirst(end).trimmed
        var labels = Bytes()
        if line.first == 0x7B {
            guard let close = closing(line) else { return nil }
            labels = line[1..<close]
            line = line.dropFirst(close + 1).trimmed
        }
        var size = 0
        while let byte = line.at(size), byte != 0x20, byte != 0x09 { size += 1 }
        guard let value = DecimalNumber.parse(line[0..<size]) else { return nil }
        return Sample(name: name, labels: labels, value: value)
    }

    /// `[a-zA-Z0-9_:]`; that a name does not begin with a digit is not for us to check.
    private static func isName(_ byte: UInt8) -> Bool {
        (byte | 0x20) &- 0x61 < 26 || byte &- 0x30 < 10 || byte == 0x5F || byte == 0x3A
    }

    /// Index of the brace that ends the labels: one within a value does not.
    private static func closing(_ line: Bytes) -> Int? {
        var index = 1
        var isQuoted = false
        while let byte = line.at(index) {
            if isQuoted {
                if byte == 0x5C { index += 1 }
                if byte == 0x22 { isQuoted = false }
            } else if byte == 0x22 {
                isQuoted = true
            } else if byte == 0x7D {
                return index
            }
            index += 1
        }
        return nil
    }
}

extension MetricsText.Sample {
    /// Whether there is a label `name` whose value is `value`. A value that is written with escapes (`\\`, `\"`, `\n`)
    /// equals none: names of models have no such characters.
    public func has(_ name: Bytes, _ value: Bytes) -> Bool {
        var rest = labels
        while true {
            rest = rest.trimmed
            while rest.first == 0x2C { rest = rest.dropFirst().trimmed }
            guard let equals = rest.firstIndex(of: 0x3D) else { return false }
            let label = rest[0..<equals].trimmed
            rest = rest.dropFirst(equals + 1).trimmed
            guard rest.first == 0x22 else { return false }
            var end = 1
            while let byte = rest.at(end), byte != 0x22 { end += byte == 0x5C ? 2 : 1 }
            guard end < rest.count else { return false }
            if label == name { return rest[1..<end] == value }
            rest = rest.dropFirst(end + 1)
        }
    }
}
