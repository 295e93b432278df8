import SluiceABI

/// The field `grpc-timeout` (gRPC over HTTP/2, "Requests"): at most eight digits and a unit. Pure.
enum GRPCTimeout {
    /// Nanoseconds; nil when `text` is no timeout. What does not fit is as good as none.
    static func parse(_ text: sluice_bytes) -> UInt64? {
        guard (2...9).contains(text.size), let bytes = text.data else { return nil }
        var value: UInt64 = 0
        for index in 0..<(text.size - 1) {
            let digit = bytes[index] &- UInt8(ascii: "0")
            guard digit <= 9 else { return nil }
            value = value * 10 + UInt64(digit)
        }
        let unit: UInt64
        switch bytes[text.size - 1] {
        case UInt8(ascii: "H"): unit = 3_600_000_000_000
        case UInt8(ascii: "M"): unit = 60_000_000_000
        case UInt8(ascii: "S"): unit = 1_000_000_000
        case UInt8(ascii: "m"): unit = 1_000_000
        case UInt8(ascii: "u"): unit = 1_000
        case UInt8(ascii: "n"): unit = 1
        default: return nil
        }
        let (product, overflow) = value.multipliedReportingOverflow(by: unit)
        return overflow ? .max : product
    }

    /// At most nine bytes: the finest unit that holds `nanoseconds` in eight digits, rounded up, so that the endpoint
    /// does not give up before we do.
    static func write(_ nanoseconds: UInt64, to writer: inout ByteWriter) {
        var unit: UInt64 = 1
        var letter = UInt8(ascii: "n")
        func fits() -> Bool { nanoseconds / unit < 99_999_999 }
        if !fits() { (unit, letter) = (1_000, UInt8(ascii: "u")) }
        if !fits() { (unit, letter) = (1_000_000, UInt8(ascii: "m")) }
        if !fits() { (unit, letter) = (1_000_000_000, UInt8(ascii: "S")) }
        if !fits() { (unit, letter) = (60_000_000_000, UInt8(ascii: "M")) }
        if !fits() { (unit, letter) = (3_600_000_000_000, UInt8(ascii: "H")) }
        writer.write(decimal: nanoseconds / unit + (nanoseconds % unit > 0 ? 1 : 0))
        writer.write(letter)
    }
}
