/// A name as it is compared: labels in lower case with dots between them and none at the end; the root is empty.
///
/// An octet that is no printable character, a dot within a label and a backslash are written `\DDD` (RFC 4343 §2.1), so
/// that no name of a response can be taken for another one, whatever its octets are.
public enum DNSName {
    /// A name has 255 octets with its lengths (RFC 1035 §2.3.4), 253 characters when it is written.
    static let charactersAtMost = 253
    static let labelAtMost = 63

    /// The labels of a name that is asked for; a dot at its end is taken. Nil: it is none.
    public static func labels(of name: String) -> [[UInt8]]? {
        var text = Array(name.utf8)
        if text.last == UInt8(ascii: ".") { text.removeLast() }
        guard (1...charactersAtMost).contains(text.count) else { return nil }
        let labels = text.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false).map(Array.init)
        let areFine = labels.allSatisfy { label in
            (1...labelAtMost).contains(label.count) && label.allSatisfy(isPlain)
        }
        return areFine ? labels : nil
    }

    public static func canonical(_ name: String) -> String {
        var text = Array(name.utf8)
        if text.last == UInt8(ascii: ".") { text.removeLast() }
        return String(decoding: text.map(lowered), as: UTF8.self)
    }

    /// Whether it can be asked for: no octet of it had to be written as a number.
    static func isAskable(_ canonical: String) -> Bool { labels(of: canonical) != nil }

    static func append(_ octet: UInt8, to text: inout [UInt8]) {
        if isPlain(octet) { return text.append(lowered(octet)) }
        let digits = [octet / 100, octet / 10 % 10, octet % 10].map { UInt8(ascii: "0") + $0 }
        text += [UInt8(ascii: "\\")] + digits
    }

    private static func isPlain(_ octet: UInt8) -> Bool {
        octet > 32 && octet < 127 && octet != UInt8(ascii: ".") && octet != UInt8(ascii: "\\")
    }

    private static func lowered(_ octet: UInt8) -> UInt8 { (65...90).contains(octet) ? octet + 32 : octet }
}
