/// What is asked of Redis: one script for up to so many buckets, and its answer.
public enum FleetStore {
    /// A script of so many keys takes well under a millisecond, in which Redis does nothing else.
    public static let bucketsAtOnce = 512

    /// Of each bucket the time, in microseconds of Redis' own clock, at which it is full. It is not before now, and not
    /// before what a gateway knows for sure (`floor`); a charge moves it on, what is given back moves it back to now at
    /// most. Buckets that are full are forgotten by themselves. The answer says how far each is from full, in
    /// microseconds.
    ///
    /// Microseconds since 1970 and 104 days more are below 2^53, so Lua's numbers hold them exactly.
    static let script = """
        local time = redis.call('TIME')
        local now = time[1] * 1000000 + time[2]
        local answer = {}
        for i, key in ipairs(KEYS) do
          local full = tonumber(redis.call('GET', key) or 0) or 0
          local cost = tonumber(ARGV[i])
          local floor = tonumber(ARGV[#KEYS + i])
          full = math.max(full, now + floor)
          full = math.min(math.max(full + cost, now), now + 9007199254740)
          if cost ~= 0 or floor ~= 0 then
            if full > now then
              redis.call('SET', key, string.format('%.0f', full), 'PX', math.ceil((full - now) / 1000) + 1000)
            else
              redis.call('DEL', key)
            end
          end
          answer[i] = math.ceil(full - now)
        end
        return answer
        """

    /// - Parameters:
    ///   - charges: hashes of buckets, what was taken and how far from full they were before; nanoseconds.
    ///   - prefix: of all names. In braces, so that a cluster keeps them in one place, which a script's must be in.
    public static func command(
        _ charges: some Collection<(key: UInt64, cost: Int64, floor: UInt64)>, prefix: String
    ) -> [UInt8] {
        var arguments = ["EVAL", script, "\(charges.count)"]
        for charge in charges {
            let digits = String(charge.key, radix: 16)
            arguments.append("{\(prefix)}:" + String(repeating: "0", count: 16 - digits.count) + digits)
        }
        for charge in charges {
            // Rounded away from 0: up for what is taken. A charge is never told as none.
            let (quotient, remainder) = charge.cost.quotientAndRemainder(dividingBy: 1_000)
            arguments.append("\(quotient + remainder.signum())")
        }
        // And down: what is known, not more.
        for charge in charges { arguments.append("\(charge.floor / 1_000)") }
        return RESPWriter.command(arguments)
    }

    /// As the script says, 2^53 ns.
    private static let microsecondsAtMost: Int64 = 9_007_199_254_740

    /// Nanoseconds that each bucket is from full; nil when that is no answer to a command of `count` charges.
    public static func answer(_ value: RESPValue, count: Int) -> [UInt64]? {
        guard case .array(let values?) = value, values.count == count else { return nil }
        var ahead: [UInt64] = []
        for value in values {
            guard case .integer(let microseconds) = value, (0...microsecondsAtMost).contains(microseconds) else {
                return nil
            }
            ahead.append(UInt64(microseconds) * 1_000)
        }
        return ahead
    }
}
