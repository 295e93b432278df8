/// Writes the Prometheus text exposition format 0.0.4 (prometheus.io, "Exposition formats").
struct PrometheusText {
    private(set) var bytes: [UInt8] = []
    private var family = ""

    init() { bytes.reserveCapacity(64 * 1024) }

    enum Kind: String { case counter, gauge, histogram, summary }

    /// Begins a family: all its samples must follow before the next one begins.
    mutating func begin(_ name: String, _ kind: Kind, _ description: String) {
        family = name
        append("# HELP \(name) ")
        for byte in description.utf8 {
            switch byte {
            case UInt8(ascii: "\\"): append("\\\\")
            case UInt8(ascii: "\n"): append("\\n")
            default: bytes.append(byte)
            }
        }
        append("\n# TYPE \(name) \(kind.rawValue)\n")
    }

    /// One sample of the family, its name with `suffix` behind it.
    mutating func sample(_ labels: [(String, String)], _ value: String, suffix: String = "") {
        append(family)
        append(suffix)
        if !labels.isEmpty {
            append("{")
            for (index, (name, text)) in labels.enumerated() {
                if index > 0 { append(",") }
                append(name)
                append("=\"")
                appendEscaped(text)
                append("\"")
            }
            append("}")
        }
        append(" ")
        append(value)
        append("\n")
    }

    mutating func sample(_ labels: [(String, String)], _ value: UInt64, suffix: String = "") {
        sample(labels, String(value), suffix: suffix)
    }

    mutating func sample(_ labels: [(String, String)], _ value: Double, suffix: String = "") {
        sample(labels, Self.number(value), suffix: suffix)
    }

    /// A histogram: `counts` holds one bucket's own observations each, the last one those beyond all `bounds`.
    mutating func histogram(_ labels: [(String, String)], bounds: [String], counts: [UInt64], sum: String) {
        var total: UInt64 = 0
        for (index, count) in counts.enumerated() {
            total &+= count
            sample(labels + [("le", index < bounds.count ? bounds[index] : "+Inf")], total, suffix: "_bucket")
        }
        sample(labels, sum, suffix: "_sum")
        sample(labels, total, suffix: "_count")
    }

    /// A number as Go's ParseFloat reads it, which is what Prometheus uses.
    static func number(_ value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
        if value == value.rounded(), abs(value) < 1e15 { return String(Int64(value)) }
        return "\(value)"
    }

    /// Nanoseconds as seconds, without loss.
    static func seconds(_ nanoseconds: UInt64) -> String {
        let fraction = nanoseconds % 1_000_000_000
        if fraction == 0 { return String(nanoseconds / 1_000_000_000) }
        var digits = String(fraction)
        digits = String(repeating: "0", count: 9 - digits.count) + digits
        while digits.hasSuffix("0") { digits.removeLast() }
        return "\(nanoseconds / 1_000_000_000).\(digits)"
    }

    private mutating func append(_ text: String) {
        bytes.append(contentsOf: text.utf8)
    }

    private mutating func appendEscaped(_ text: String) {
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\\"): append("\\\\")
            case UInt8(ascii: "\""): append("\\\"")
            case UInt8(ascii: "\n"): append("\\n")
            default: bytes.append(byte)
            }
        }
    }
}
