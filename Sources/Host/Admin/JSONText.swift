/// Writes JSON (RFC 8259) without Foundation, which would cost the gateway megabytes at start.
struct JSONText {
    private(set) var bytes: [UInt8] = []
    /// Whether the next value needs a comma before it, for each open object or array.
    private var needsComma: [Bool] = []

    mutating func object(_ body: (inout JSONText) -> Void) { nested("{", "}", body) }

    mutating func array(_ body: (inout JSONText) -> Void) { nested("[", "]", body) }

    /// Names the value that follows, inside an object.
    mutating func key(_ name: String) {
        separate()
        Self.appendQuoted(name, to: &bytes)
        bytes.append(UInt8(ascii: ":"))
        if !needsComma.isEmpty { needsComma[needsComma.count - 1] = false }
    }

    mutating func value(_ text: String) {
        separate()
        Self.appendQuoted(text, to: &bytes)
    }

    mutating func value(_ number: some BinaryInteger) { raw(String(number)) }

    mutating func value(_ flag: Bool) { raw(flag ? "true" : "false") }

    /// JSON has no word for infinity and the like: they become null.
    mutating func value(_ number: Double) { raw(number.isFinite ? PrometheusText.number(number) : "null") }

    mutating func null() { raw("null") }

    private mutating func raw(_ text: String) {
        separate()
        bytes.append(contentsOf: text.utf8)
    }

    private mutating func separate() {
        guard let needed = needsComma.last else { return }
        if needed { bytes.append(UInt8(ascii: ",")) }
        needsComma[needsComma.count - 1] = true
    }

    private mutating func nested(_ open: Character, _ close: Character, _ body: (inout JSONText) -> Void) {
        separate()
        bytes.append(contentsOf: String(open).utf8)
        needsComma.append(false)
        body(&self)
        needsComma.removeLast()
        bytes.append(contentsOf: String(close).utf8)
    }

    /// A text in quotes. Control characters, the quote and the backslash are escaped.
    static func appendQuoted(_ text: String, to output: inout [UInt8]) {
        let hexadecimal = Array("0123456789abcdef".utf8)
        output.append(UInt8(ascii: "\""))
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"): output.append(contentsOf: [UInt8(ascii: "\\"), byte])
            case UInt8(ascii: "\n"): output.append(contentsOf: "\\n".utf8)
            case UInt8(ascii: "\t"): output.append(contentsOf: "\\t".utf8)
            case UInt8(ascii: "\r"): output.append(contentsOf: "\\r".utf8)
            case 0..<0x20, 0x7F:
                output.append(contentsOf: "\\u00".utf8)
                output.append(hexadecimal[Int(byte >> 4)])
                output.append(hexadecimal[Int(byte & 15)])
            default: output.append(byte)
            }
        }
        output.append(UInt8(ascii: "\""))
    }
}
