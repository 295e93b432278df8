/// A strict reader of the Prometheus text exposition format 0.0.4, which refuses what `promtool check metrics` and the
/// server would refuse, and more: a line that is not ours to write is an error.
struct PrometheusScrape {
    struct Failure: Error, CustomStringConvertible {
        var description: String
    }

    private var samples: [String: Double] = [:]

    /// The value of a sample with exactly these labels, or nil.
    func value(_ name: String, _ labels: [String: String]) -> Double? { samples[Self.key(name, labels)] }

    private static func key(_ name: String, _ labels: [String: String]) -> String {
        name + labels.sorted { $0.key < $1.key }.map { "\u{0}\($0.key)\u{1}\($0.value)" }.joined()
    }

    private struct Sample {
        var name: String
        var labels: [String: String]
        var value: Double
    }

    private struct Family {
        var name: String
        var type: String
        var samples: [Sample] = []
    }

    init(_ bytes: [UInt8]) throws {
        guard let text = String(validating: bytes, as: UTF8.self) else { throw Failure(description: "not UTF-8") }
        guard text.hasSuffix("\n") else { throw Failure(description: "no newline at the end") }
        var lines = text.unicodeScalars.split(separator: "\n", omittingEmptySubsequences: false).map { String($0) }
        lines.removeLast()
        var families: [Family] = []
        var helped: Set<String> = []
        var pendingHelp: String?
        for line in lines {
            func fail(_ why: String) -> Failure { Failure(description: "\(why): \(line)") }
            if line.hasPrefix("# HELP ") {
                let words = line.dropFirst(7).split(separator: " ", maxSplits: 1)
                guard words.count == 2, pendingHelp == nil else { throw fail("HELP") }
                guard helped.insert(String(words[0])).inserted else { throw fail("a family twice") }
                pendingHelp = String(words[0])
            } else if line.hasPrefix("# TYPE ") {
                let words = line.dropFirst(7).split(separator: " ", omittingEmptySubsequences: false).map(String.init)
                guard words.count == 2, words[0] == pendingHelp else { throw fail("TYPE without its HELP before it") }
                guard ["counter", "gauge", "histogram", "summary"].contains(words[1]) else { throw fail("kind") }
                guard (words[1] == "counter") == words[0].hasSuffix("_total") else { throw fail("_total") }
                pendingHelp = nil
                families.append(Family(name: words[0], type: words[1]))
            } else {
                guard pendingHelp == nil, let family = families.last else { throw fail("sample outside a family") }
                let sample = try Self.sample(line)
                let suffixes: [String] =
                    switch family.type {
                    case "histogram": ["_bucket", "_sum", "_count"]
                    case "summary": ["_sum", "_count"]
                    default: [""]
                    }
                guard suffixes.contains(where: { family.name + $0 == sample.name }) else { throw fail("name") }
                if family.type == "counter", sample.value < 0 || sample.value.isNaN { throw fail("value") }
                guard samples.updateValue(sample.value, forKey: Self.key(sample.name, sample.labels)) == nil else {
                    throw fail("a series twice")
                }
                families[families.count - 1].samples.append(sample)
            }
        }
        if let pendingHelp { throw Failure(description: "HELP without TYPE: \(pendingHelp)") }
        for family in families where family.type == "histogram" { try Self.check(family) }
    }

    /// Buckets rise in bound and in count, end with +Inf, and +Inf is the count.
    private static func check(_ family: Family) throws {
        var groups: [String: [Sample]] = [:]
        for sample in family.samples {
            groups[key("", sample.labels.filter { $0.key != "le" }), default: []].append(sample)
        }
        for samples in groups.values {
            func fail(_ why: String) -> Failure { Failure(description: "\(family.name): \(why) \(samples)") }
            var bound = -Double.infinity
            var count = 0.0
            for bucket in samples where bucket.name.hasSuffix("_bucket") {
                guard let text = bucket.labels["le"], let next = number(text) else { throw fail("le") }
                guard next > bound, bucket.value >= count else { throw fail("not cumulative") }
                bound = next
                count = bucket.value
            }
            guard bound == .infinity else { throw fail("no +Inf") }
            guard samples.first(where: { $0.name.hasSuffix("_count") })?.value == count else { throw fail("_count") }
            guard samples.contains(where: { $0.name.hasSuffix("_sum") }) else { throw fail("_sum") }
        }
    }

    private static func number(_ text: String) -> Double? {
        switch text {
        case "+Inf": return .infinity
        case "-Inf": return -.infinity
        case "NaN": return .nan
        default:
            guard let first = text.utf8.first, first == 0x2D || (0x30...0x39).contains(first) else { return nil }
            return Double(text)
        }
    }

    private static func sample(_ line: String) throws -> Sample {
        func fail(_ why: String) -> Failure { Failure(description: "\(why): \(line)") }
        var rest = Substring(line).unicodeScalars[...]
        func isName(_ scalar: Unicode.Scalar, first: Bool, colon: Bool) -> Bool {
            switch scalar {
            case "a"..."z", "A"..."Z", "_": true
            case "0"..."9": !first
            case ":": colon
            default: false
            }
        }
        func name(colon: Bool) -> String? {
            var name = ""
            while let scalar = rest.first, isName(scalar, first: name.isEmpty, colon: colon) {
                name.unicodeScalars.append(scalar)
                rest.removeFirst()
            }
            return name.isEmpty ? nil : name
        }
        guard let metric = name(colon: true) else { throw fail("metric name") }
        var labels: [String: String] = [:]
        if rest.first == "{" {
            rest.removeFirst()
            while true {
                guard let label = name(colon: false), rest.starts(with: "=\"".unicodeScalars) else {
                    throw fail("label")
                }
                rest.removeFirst(2)
                var value = ""
                while let scalar = rest.first, scalar != "\"" {
                    rest.removeFirst()
                    guard scalar == "\\" else {
                        value.unicodeScalars.append(scalar)
                        continue
                    }
                    switch rest.popFirst() {
                    case "\\": value += "\\"
                    case "\"": value += "\""
                    case "n": value += "\n"
                    default: throw fail("escape")
                    }
                }
                guard rest.popFirst() == "\"" else { throw fail("quote") }
                guard labels.updateValue(value, forKey: label) == nil else { throw fail("a label twice") }
                let next = rest.popFirst()
                if next == "}" { break }
                guard next == "," else { throw fail("after a label") }
            }
        }
        guard rest.popFirst() == " ", let value = number(String(rest)) else { throw fail("value") }
        return Sample(name: metric, labels: labels, value: value)
    }
}
