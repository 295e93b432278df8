/// An address of version 4 or 6.
public struct DNSAddress: Sendable, Hashable {
    /// 4 or 16 octets in network order.
    public let octets: [UInt8]

    public init(octets: [UInt8]) { self.octets = octets }

    public var isVersion6: Bool { octets.count == 16 }

    /// As people write it: dots, or what RFC 5952 §4 makes of version 6.
    public var text: String {
        guard isVersion6 else { return octets.map(String.init).joined(separator: ".") }
        let groups = stride(from: 0, to: 16, by: 2).map { UInt16(octets[$0]) << 8 | UInt16(octets[$0 + 1]) }
        // The first of the longest runs of zeros, when it is longer than one group.
        var best = 0..<0
        var begin = 0
        while begin < 8 {
            var end = begin
            while end < 8, groups[end] == 0 { end += 1 }
            if end - begin > max(best.count, 1) { best = begin..<end }
            begin = max(end, begin + 1)
        }
        func hex(_ part: ArraySlice<UInt16>) -> String { part.map { String($0, radix: 16) }.joined(separator: ":") }
        if best.isEmpty { return hex(groups[...]) }
        return hex(groups[..<best.lowerBound]) + "::" + hex(groups[best.upperBound...])
    }

    /// With a port, as it stands in an address of an endpoint.
    public func text(port: UInt16) -> String { isVersion6 ? "[\(text)]:\(port)" : "\(text):\(port)" }
}
