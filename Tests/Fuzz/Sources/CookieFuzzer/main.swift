// Cookie fields against a reader that does the same the slow way: whatever the bytes, both find the same value, and it
// is of the field. The input is a name, a line feed, and the field's value.
import FuzzDriver
import SluiceABI
import SluicePlugin

/// The value by RFC 6265 section 4.2.1 and the rule that a malformed pair is passed over, on arrays.
func expected(_ name: [UInt8], in field: [UInt8]) -> [UInt8]? {
    guard !name.isEmpty else { return nil }
    let space: Set<UInt8> = [0x20, 0x09]
    let octets = Set((0x21...0x7E).filter { ![0x22, 0x2C, 0x3B, 0x5C].contains($0) }.map { UInt8($0) })
    for part in field.split(separator: UInt8(ascii: ";"), omittingEmptySubsequences: false) {
        var pair = part.drop { space.contains($0) }
        while let last = pair.last, space.contains(last) { pair.removeLast() }
        guard pair.starts(with: name + [UInt8(ascii: "=")]) else { continue }
        let value = Array(pair.dropFirst(name.count + 1))
        var bare = value[...]
        if bare.count >= 2, bare.first == UInt8(ascii: "\""), bare.last == UInt8(ascii: "\"") {
            bare = bare.dropFirst().dropLast()
        }
        if bare.allSatisfy(octets.contains) { return value }
    }
    return nil
}

fuzz { data, count in
    guard let data, let line = (0..<count).first(where: { data[$0] == 10 }) else { return 0 }
    let name = Bytes(UnsafeRawBufferPointer(start: data, count: line))
    let field = Bytes(UnsafeRawBufferPointer(start: data + line + 1, count: count - line - 1))
    let found = Cookies.value(of: name, in: field)
    expect(found.map(Array.init) == expected(Array(name), in: Array(field)), "the slow reader finds the same")
    if let found, let start = found.raw.data {
        expect(start >= data + line + 1 && start + found.count <= data + count, "a value is of the field")
        expect(Cookies.isValue(found), "a value is of its grammar")
    }
    return 0
}
