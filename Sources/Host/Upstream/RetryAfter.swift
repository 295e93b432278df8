import Glibc
import HTTP1
import SluiceABI

/// The value of a Retry-After field (RFC 9110 §10.2.3): seconds, or a date of HTTP. Pure.
enum RetryAfter {
    /// A day: who asks for more has made a mistake, and no deadline is as long.
    private static let secondsAtMost: UInt64 = 86_400

    /// Seconds, rounded up, that an endpoint's answer asks to wait, so that its client waits as long; `floor` where it
    /// does not say, or something that cannot be read, or less. `wall` as in `delay`.
    static func seconds(_ answer: sluice_message?, wall: UInt64, floor: UInt32) -> UInt32 {
        guard let answer else { return floor }
        let name = sluice_bytes("Retry-After")
        for index in 0..<Int(answer.field_count) where answer.fields[index].name.equalsIgnoringCase(name) {
            let seconds = (delay(answer.fields[index].value, wall: wall) + 999_999_999) / 1_000_000_000
            return max(UInt32(seconds), floor)
        }
        return floor
    }

    /// Nanoseconds from `wall`, which is in nanoseconds since 1970; 0 when it is neither, or has passed.
    static func delay(_ value: sluice_bytes, wall: UInt64) -> UInt64 {
        guard let bytes = value.data, value.size > 0 else { return 0 }
        var seconds: UInt64 = 0
        var index = 0
        while index < value.size, bytes[index] &- UInt8(ascii: "0") <= 9 {
            seconds = min(seconds * 10 + UInt64(bytes[index] - UInt8(ascii: "0")), secondsAtMost)
            index += 1
        }
        if index == value.size { return seconds * 1_000_000_000 }
        guard index == 0, let date = date(bytes, value.size) else { return 0 }
        let now = wall / 1_000_000_000
        return min(date &- min(date, now), secondsAtMost) * 1_000_000_000
    }

    /// IMF-fixdate, the one form that is still sent (RFC 9110 §5.6.7): `Sun, 06 Nov 1994 08:49:37 GMT`.
    private static func date(_ bytes: UnsafePointer<UInt8>, _ size: Int) -> UInt64? {
        guard size == 29, bytes[3] == UInt8(ascii: ","), bytes[19] == UInt8(ascii: ":"),
            bytes[22] == UInt8(ascii: ":"), bytes[26] == UInt8(ascii: "G"), bytes[27] == UInt8(ascii: "M"),
            bytes[28] == UInt8(ascii: "T"), let day = number(bytes + 5, 2), let year = number(bytes + 12, 4),
            let hour = number(bytes + 17, 2), let minute = number(bytes + 20, 2), let second = number(bytes + 23, 2)
        else { return nil }
        let names: StaticString = "JanFebMarAprMayJunJulAugSepOctNovDec"
        guard let month = (0..<12).first(where: { memcmp(names.utf8Start + $0 * 3, bytes + 8, 3) == 0 }) else {
            return nil
        }
        var time = tm()
        time.tm_year = Int32(year) - 1900
        time.tm_mon = Int32(month)
        time.tm_mday = Int32(day)
        time.tm_hour = Int32(hour)
        time.tm_min = Int32(minute)
        time.tm_sec = Int32(second)
        let seconds = timegm(&time)
        return seconds >= 0 ? UInt64(seconds) : nil
    }

    private static func number(_ digits: UnsafePointer<UInt8>, _ count: Int) -> Int? {
        var value = 0
        for index in 0..<count {
            let digit = digits[index] &- UInt8(ascii: "0")
            guard digit <= 9 else { return nil }
            value = value * 10 + Int(digit)
        }
        return value
    }
}
